# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GPUs of several types, MIG, and how slurmd finds them."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.errors import SlurmConfError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.gres import autodetect_faults, parse_gres
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.nodes import gres_conf

MIG = ["gpu:a100:2", "gpu:1g.5gb:7"]


@pytest.mark.parametrize(
    ("value", "resources"),
    [
        pytest.param("gpu", [("gpu", "", 1)], id="one"),
        pytest.param("gpu:2", [("gpu", "", 2)], id="number"),
        pytest.param("gpu:l4", [("gpu", "l4", 1)], id="type"),
        pytest.param("gpu:l4:2,nic:1", [("gpu", "l4", 2), ("nic", "", 1)], id="two"),
        pytest.param(MIG, [("gpu", "a100", 2), ("gpu", "1g.5gb", 7)], id="mig"),
        pytest.param("gpu:1g.5gb", [("gpu", "1g.5gb", 1)], id="mig-alone"),
        pytest.param("bandwidth:lustre:no_consume:4G", [("bandwidth", "lustre", 2**32)], id="suffix"),
    ],
)
def test_parse(value: t.Any, resources: list[tuple[str, str, int]]) -> None:
    found, faults = parse_gres(value)
    assert [(one.name, one.kind, one.number) for one in found] == resources
    assert faults == []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        pytest.param("gpu:l4:0", "gres is 'gpu:l4:0'; allowed is 'gpu:2'", id="none"),
        pytest.param("gpu:l4:-1", "gres is 'gpu:l4:-1'; allowed is", id="negative"),
        pytest.param("gpu::2", "gres is 'gpu::2'; allowed is", id="empty-type"),
        pytest.param("gpu:a:b:2", "gres is 'gpu:a:b:2'; allowed is", id="two-types"),
        pytest.param(["gpu:l4:1", "gpu:l4:2"], "gres has gpu:l4 twice. Give one number.", id="twice"),
        pytest.param({"gpu": 2}, "gres is {'gpu': 2}; allowed is", id="dictionary"),
    ],
)
def test_parse_refuses(value: t.Any, message: str) -> None:
    faults = parse_gres(value)[1]
    assert len(faults) == 1
    assert faults[0].startswith(message)


@pytest.mark.parametrize(
    ("how", "gres", "state", "version", "flags", "message"),
    [
        pytest.param("nvml", MIG, "", "26.05.4", ["--with-nvml=/usr"], "", id="nvml"),
        pytest.param("nvml", MIG, "", "26.05.4", None, "", id="nvml-build-unknown"),
        pytest.param(
            "nvml", MIG, "", "26.05.4", [], "gres_autodetect nvml needs a Slurm built with NVML", id="no-nvml"
        ),
        pytest.param("nvidia", ["gpu:l4:2"], "", "24.11.5-4+deb13u1", [], "", id="nvidia"),
        pytest.param(
            "nvidia", ["gpu:l4:2"], "", "24.05.4", [], "nvidia needs Slurm 24.11 or newer", id="nvidia-too-old"
        ),
        pytest.param("nvidia", MIG, "", "26.05.4", [], "gres_autodetect nvidia finds no MIG devices", id="nvidia-mig"),
        pytest.param("full", ["gpu:l4:2"], "", "25.11.8", [], "full needs Slurm 26.05 or newer", id="full-too-old"),
        pytest.param("nvidia", ["gpu:l4:2"], "cloud", None, [], "a node of state CLOUD cannot be asked", id="cloud"),
        pytest.param("cuda", [], "", None, [], "gres_autodetect is 'cuda'; allowed are nvml, nvidia", id="unknown"),
        pytest.param("", MIG, "CLOUD", "24.05.4", [], "", id="off"),
    ],
)
def test_autodetect(
    how: str, gres: list[str], state: str, version: str | None, flags: list[str] | None, message: str
) -> None:
    faults = autodetect_faults(how, parse_gres(gres)[0], state, version, flags)
    assert len(faults) == bool(message)
    assert message in "".join(faults)


DEVICES = [
    {"type": "a100", "file": "/dev/nvidia[0-1]", "cores": "0-23"},
    *({"type": "1g.5gb", "multiple_files": f"/dev/nvidia2,/dev/nvidia-caps/nvidia-cap{number}"} for number in range(7)),
]


def test_devices_by_hand() -> None:
    text = gres_conf([{"name": f"n{number}", "gres": MIG, "gres_devices": DEVICES} for number in (2, 1)])
    lines = text.splitlines()
    assert lines[0] == "NodeName=n[1-2] Name=gpu Type=a100 File=/dev/nvidia[0-1] Cores=0-23"
    assert lines[1] == "NodeName=n[1-2] Name=gpu Type=1g.5gb MultipleFiles=/dev/nvidia2,/dev/nvidia-caps/nvidia-cap0"
    assert len(lines) == 8


def test_off_is_a_word_and_a_boolean() -> None:
    for off in ("off", False, None, ""):
        text = gres_conf([{"name": "a", "gres": "gpu:l4:2", "gres_autodetect": off}])
        assert text == "NodeName=a Name=gpu Type=l4 File=/dev/nvidia[0-1]\n"


@pytest.mark.parametrize(
    ("node", "message"),
    [
        pytest.param({"gres": MIG}, "the MIG device gpu:1g.5gb, whose files nobody can guess", id="mig"),
        pytest.param(
            {"gres": MIG, "gres_devices": DEVICES[:-1]}, "gres has 7 of gpu:1g.5gb, gres_devices has 6.", id="too-few"
        ),
        pytest.param(
            {"gres": "gpu:l4:1", "gres_devices": [{"type": "a100"}]},
            "gres_devices has gpu:a100, which gres has not",
            id="other-type",
        ),
        pytest.param(
            {"gres": "gpu:l4:1", "gres_devices": [{"typ": "l4"}]}, "there is no key typ. Did you mean type?", id="key"
        ),
        pytest.param(
            {"gres": "gpu:1", "gres_devices": [{"file": "/a", "multiple_files": "/b"}]},
            "file and multiple_files on one line",
            id="both-files",
        ),
        pytest.param({"gres": "gpu:1", "gres_devices": "x"}, "gres_devices must be a list of dictionaries", id="text"),
        pytest.param({"gres": "gpu:1", "gres_devices": ["x"]}, "gres_devices has 'x'; a dictionary", id="list-of-text"),
        pytest.param(
            {"gres": "gpu:1", "gres_file": "/dev/x", "gres_autodetect": "nvml"}, "three ways to say the same", id="ways"
        ),
        pytest.param(
            {"gres": "gpu:2", "gres_file": "/dev/nvidia0"}, "gres has 2 of gpu, gres_file names 1.", id="file-count"
        ),
    ],
)
def test_bad_devices(node: dict[str, t.Any], message: str) -> None:
    with pytest.raises(SlurmConfError) as error:
        gres_conf([{"name": "a", **node}])
    assert str(error.value).startswith("Rendering the node a failed: ")
    assert message in str(error.value)
