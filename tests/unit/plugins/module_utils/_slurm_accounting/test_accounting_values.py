# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting import values
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.values import BadValueError, Kind


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        pytest.param(values.COUNT, 5, 5, id="count: number"),
        pytest.param(values.COUNT, "5", 5, id="count: as sacctmgr prints it"),
        pytest.param(values.COUNT, "", None, id="count: sacctmgr prints nothing for no limit"),
        pytest.param(values.COUNT, -1, None, id="count: -1"),
        pytest.param(values.COUNT, "Unlimited", None, id="count: in words"),
        pytest.param(values.COUNT, None, None, id="count: null"),
        pytest.param(values.NUMBER, "", 0, id="number: nothing is 0"),
        pytest.param(values.MINUTES, 90, 90, id="minutes: bare"),
        pytest.param(values.MINUTES, "01:30", 2, id="minutes: min:sec is rounded up"),
        pytest.param(values.MINUTES, "12:00:00", 720, id="minutes: hours"),
        pytest.param(values.MINUTES, "1-00:00:00", 1440, id="minutes: as sacctmgr prints a day"),
        pytest.param(values.MINUTES, "2-12", 3600, id="minutes: days-hours"),
        pytest.param(values.MINUTES, "1-01:30", 1530, id="minutes: days-hours:minutes"),
        pytest.param(values.MINUTES, "INFINITE", None, id="minutes: infinite"),
        pytest.param(values.SECONDS, 90, 90, id="seconds: bare"),
        pytest.param(values.SECONDS, "00:01:30", 90, id="seconds: as sacctmgr prints them"),
        pytest.param(values.GRACE, "", 0, id="grace: nothing is 0"),
        pytest.param(values.TRES, "cpu=4,gres/gpu=2,mem=64G", {"cpu": 4, "gres/gpu": 2, "mem": 65536}, id="tres: text"),
        pytest.param(values.TRES, {"mem": "1.00T", "node": 1}, {"mem": 1048576, "node": 1}, id="tres: mapping"),
        pytest.param(values.TRES, {"cpu": None, "node": -1}, {"cpu": None, "node": None}, id="tres: two ways of none"),
        pytest.param(values.TRES, "", {}, id="tres: sacctmgr prints nothing for no limit"),
        pytest.param(values.TRES, None, {"*": None}, id="tres: null takes all away"),
        pytest.param(values.NAMES, "b,a,b", ("a", "b"), id="names: order and doubles mean nothing"),
        pytest.param(values.NAME_FLAGS, ["denyonlimit"], ("DenyOnLimit",), id="flags: as Slurm spells them"),
        pytest.param(values.NAME_FLAGS, "Newest", ("Newest",), id="flags: of a newer Slurm"),
        pytest.param(values.FAIRSHARE, "Parent", "parent", id="fairshare: parent"),
        pytest.param(values.FAIRSHARE, "", 1, id="fairshare: nothing is 1"),
        pytest.param(values.FACTOR, "0.500000", 0.5, id="factor: as sacctmgr prints it"),
        pytest.param(values.FACTOR, "", None, id="factor: none"),
        pytest.param(values.USAGE_FACTOR, "", 1.0, id="usage factor: nothing is 1"),
        pytest.param(values.TEXT, "Max Planck", "max planck", id="text: Slurm keeps lower case"),
        pytest.param(values.ADMIN_LEVEL, "admin", "Administrator", id="admin level: short"),
        pytest.param(values.ADMIN_LEVEL, "", "None", id="admin level: nothing is none"),
        pytest.param(values.PREEMPT_MODE, "OFF", ("cluster",), id="preempt mode: off is the cluster's"),
        pytest.param(values.PREEMPT_MODE, ["suspend", "GANG"], ("gang", "suspend"), id="preempt mode: two"),
        pytest.param(values.NAME, "-1", None, id="name: -1 is none"),
    ],
)
def test_read(kind: Kind, given: Any, expected: Any) -> None:
    assert kind.read(given) == expected


@pytest.mark.parametrize(
    ("kind", "given", "allowed"),
    [
        (values.COUNT, "many", "a whole number, or null for no limit"),
        (values.COUNT, True, "a whole number, or null for no limit"),
        (values.COUNT, -2, "a whole number, or null for no limit"),
        (values.COUNT, 1.5, "a whole number, or null for no limit"),
        (values.MINUTES, "1h", 'minutes, or a quoted time such as "1-12:00:00", or null for no limit'),
        (values.MINUTES, True, 'minutes, or a quoted time such as "1-12:00:00", or null for no limit'),
        (values.GRACE, "soon", 'seconds, or a quoted time such as "00:05:00"'),
        (values.FAIRSHARE, "half", "a whole number, or parent"),
        (values.FACTOR, "nan", "a number of at least 0"),
        (values.FACTOR, "-2", "a number of at least 0"),
        (values.TEXT, 'a "word"', "one line of text without quotes, bars and spaces at its ends"),
        (values.TEXT, "two\nlines", "one line of text without quotes, bars and spaces at its ends"),
        (values.ADMIN_LEVEL, "king", "none, operator or administrator"),
        (values.NAMES, ["a b"], "a list of names, without commas, quotes or spaces in them"),
        (values.NAMES, 5, "a list of names"),
        (values.ACCOUNT, "-1", "the name of an account"),
    ],
)
def test_refused(kind: Kind, given: Any, allowed: str) -> None:
    with pytest.raises(BadValueError) as caught:
        kind.read(given)
    assert str(caught.value) == allowed


@pytest.mark.parametrize("given", ["cpu", "cpu=4,cpu=5", {"cpu": "4 G"}, {"c,d": 1}, {"cpu": True}, 7, "mem=4.5G"])
def test_tres_refused(given: Any) -> None:
    with pytest.raises(BadValueError, match="names and amounts such as"):
        values.TRES.read(given)


@pytest.mark.parametrize(
    ("kind", "have", "want", "text"),
    [
        pytest.param(values.COUNT, 5, None, "-1", id="no limit"),
        pytest.param(values.MINUTES, None, 90, "90", id="minutes"),
        pytest.param(values.SECONDS, None, 90, "00:01:30", id="seconds, which sacctmgr would take for minutes"),
        pytest.param(values.GRACE, 0, 90, "90", id="grace time, which it takes for seconds"),
        pytest.param(values.NAMES, ("a",), (), "", id="empty list"),
        pytest.param(values.NAME_FLAGS, ("NoReserve",), (), "-1", id="no flags"),
        pytest.param(values.TRES, {"cpu": 4, "node": 1}, {"cpu": 5, "mem": 1}, "cpu=5,mem=1,node=-1", id="tres"),
        pytest.param(values.NAME, "x", None, "-1", id="no name"),
        pytest.param(values.PREEMPT_MODE, ("requeue",), ("cluster",), "cluster", id="mode"),
    ],
)
def test_written(kind: Kind, have: Any, want: Any, text: str) -> None:
    assert kind.write(have, want) == text


@pytest.mark.parametrize(
    ("want", "purge", "expected"),
    [
        ({"cpu": 5}, False, {"cpu": 5, "node": 1}),
        ({"cpu": 5}, True, {"cpu": 5}),
        ({"cpu": None}, False, {"node": 1}),
        ({"*": None}, False, {}),
    ],
    ids=["others stay", "purge", "one goes", "all go"],
)
def test_tres_settled(want: dict[str, int | None], purge: bool, expected: dict[str, int]) -> None:
    assert values.TRES.settle({"cpu": 4, "node": 1}, want, purge=purge) == expected
