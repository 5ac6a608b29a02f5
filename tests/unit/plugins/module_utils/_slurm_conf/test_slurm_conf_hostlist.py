# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Host lists, both ways."""

from __future__ import annotations

import random
import typing as t

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.errors import SlurmConfError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.hostlist import (
    compress,
    expand_hostlist,
    hostlist,
)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        pytest.param([], "", id="none"),
        pytest.param(["gpu1"], "gpu1", id="one"),
        pytest.param(["gpu1", "gpu2", "gpu3"], "gpu[1-3]", id="range"),
        pytest.param(["gpu3", "gpu1", "gpu2", "gpu1"], "gpu[1-3]", id="order-and-doubles"),
        pytest.param(["gpu1", "gpu3", "gpu4"], "gpu[1,3-4]", id="gap"),
        pytest.param(["gpu9", "gpu10", "gpu99", "gpu100"], "gpu[9-10,99-100]", id="grows-by-a-digit"),
        pytest.param(["n0", "n1", "n9", "n10"], "n[0-1,9-10]", id="zero"),
        pytest.param(["n08", "n09", "n10"], "n[08-10]", id="padded"),
        pytest.param(["n98", "n99", "n100"], "n[98-100]", id="not-padded"),
        pytest.param(["n099", "n100"], "n[099-100]", id="padded-over-the-hundred"),
        pytest.param(["n1", "n01", "n001", "n2", "n02"], "n[1-2,01-02,001]", id="several-widths"),
        pytest.param(["gpu1", "login", "cpu1", "gpu2"], "gpu[1-2],login,cpu1", id="prefixes-in-order-of-first"),
        pytest.param(["rack1-n1", "rack1-n2", "rack2-n1"], "rack1-n[1-2],rack2-n1", id="racks"),
        pytest.param(["a1-ib", "a2-ib"], "a1-ib,a2-ib", id="number-not-at-the-end"),
        pytest.param(["10"], "10", id="only-digits"),
    ],
)
def test_hostlist(names: list[str], text: str) -> None:
    assert hostlist(names) == text
    assert sorted(expand_hostlist(text)) == sorted(set(names))


def test_ten_thousand_names_in_any_order_are_one_range() -> None:
    names = [f"node{number:05d}" for number in range(10_000)]
    random.Random(1).shuffle(names)
    assert hostlist(names) == "node[00000-09999]"


def test_random_names_survive_the_way_there_and_back() -> None:
    source = random.Random(2)
    for _round in range(300):
        names = {
            source.choice(["a", "gpu-", "n0x"]) + f"{source.randrange(120):0{source.randrange(1, 4)}d}"
            for _index in range(source.randrange(1, 60))
        }
        assert set(expand_hostlist(hostlist(sorted(names, key=lambda _name: source.random())))) == names


def test_compress_keeps_order_and_doubles() -> None:
    addresses = ["10.0.0.9", "10.0.0.10", "10.0.0.2", "10.0.0.2"]
    assert compress(addresses) == "10.0.0.[9-10,2,2]"
    assert expand_hostlist(compress(addresses)) == addresses


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "a#b", "a[1-2]", "-a", "ü", 7, None])
def test_bad_names(name: t.Any) -> None:
    with pytest.raises(SlurmConfError, match="is no host name. Allowed are letters, digits"):
        hostlist([name])


def test_a_text_is_no_list() -> None:
    with pytest.raises(SlurmConfError, match="a list is needed, the text 'gpu1' found"):
        hostlist("gpu1")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param("", [], id="empty"),
        pytest.param("a, b", ["a", "b"], id="blank"),
        pytest.param("n[08-10,12]", ["n08", "n09", "n10", "n12"], id="padded"),
        pytest.param("r[1-2]n[1-2]", ["r1n1", "r1n2", "r2n1", "r2n2"], id="two-brackets"),
        pytest.param("n[1-2]-ib", ["n1-ib", "n2-ib"], id="behind"),
    ],
)
def test_expand(text: str, names: list[str]) -> None:
    assert expand_hostlist(text) == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("n[1-2", "its brackets do not match", id="open"),
        pytest.param("n1]", "its brackets do not match", id="close"),
        pytest.param("n[a-b]", "'a-b' is no number and no range", id="letters"),
        pytest.param("n[5-1]", "the range '5-1' runs backwards", id="backwards"),
        pytest.param("n[1-999999999]", "has more than 65536 hosts", id="huge"),
        pytest.param("n[1-40000],m[1-40000]", "has more than 65536 hosts", id="huge-sum"),
        pytest.param(7, "a text is needed, int found", id="number"),
    ],
)
def test_expand_refuses(text: t.Any, message: str) -> None:
    with pytest.raises(SlurmConfError, match=message):
        expand_hostlist(text)
