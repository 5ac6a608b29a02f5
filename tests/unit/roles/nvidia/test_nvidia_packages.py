# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each family of distributions gets, from the role's own variables and defaults."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROLE = Path(__file__).parents[4] / "roles" / "nvidia"
NVIDIA = "https://developer.download.nvidia.com/compute/cuda/repos"
FACTS = {
    "Debian_12": ("Debian", "Debian", "12", "6.1.0-56-amd64", "apt"),
    "Debian_13": ("Debian", "Debian", "13", "6.12.117+deb13-cloud-amd64", "apt"),
    "Ubuntu_24": ("Ubuntu", "Debian", "24", "6.8.0-1030-aws", "apt"),
    "RedHat_9": ("Rocky", "RedHat", "9", "5.14.0-611.5.1.el9_7.x86_64", "dnf"),
    "RedHat_10": ("RedHat", "RedHat", "10", "6.12.0-124.8.1.el10_1.x86_64", "dnf"),
    "Amazon_2023": ("Amazon", "RedHat", "2023", "6.1.158-180.294.amzn2023.x86_64", "dnf"),
}


def rendered(family: str, expression: str, **given: t.Any) -> t.Any:
    distribution, os_family, major, kernel, manager = FACTS[family]
    loader = DataLoader()
    variables: dict[str, t.Any] = {}
    for path in ("defaults/main.yml", "vars/main.yml", f"vars/{family}.yml"):
        variables |= loader.load_from_file(str(ROLE / path), trusted_as_template=True)
    facts = {
        "distribution": distribution,
        "os_family": os_family,
        "distribution_major_version": major,
        "kernel": kernel,
        "pkg_mgr": manager,
        "architecture": given.pop("architecture", "x86_64"),
    }
    return Templar(loader, {**variables, **given, "ansible_facts": facts}).resolve_variable_expression(expression)


@pytest.mark.parametrize("family", FACTS)
def test_each_family_finds_its_file(family: str) -> None:
    assert rendered(family, "__nvidia_family") == family
    assert (ROLE / "vars" / f"{family}.yml").exists()
    assert family in rendered(family, "__nvidia_known")


def test_no_file_without_a_test() -> None:
    files = {path.stem for path in (ROLE / "vars").glob("*_*.yml")}
    assert files == set(FACTS) == set(rendered("Debian_12", "__nvidia_known"))


@pytest.mark.parametrize(
    ("family", "given", "packages"),
    [
        pytest.param(
            "Debian_12",
            {},
            ["nvidia-driver-cuda", "nvidia-kernel-open-dkms", "nvidia-persistenced", "datacenter-gpu-manager-4-cuda13"],
            id="debian-12",
        ),
        pytest.param(
            "Debian_13",
            {},
            ["nvidia-driver-cuda", "nvidia-kernel-open-dkms", "nvidia-persistenced"],
            id="debian-13-no-dcgm",
        ),
        pytest.param(
            "Debian_12",
            {"nvidia_source": "distribution", "nvidia_kernel_modules": "proprietary", "nvidia_branch": 535},
            ["libcuda1", "nvidia-smi", "nvidia-kernel-dkms", "nvidia-persistenced"],
            id="debian-12-archive",
        ),
        pytest.param(
            "Debian_13",
            {"nvidia_source": "distribution", "nvidia_cuda_toolkit": True},
            ["libcuda1", "nvidia-smi", "nvidia-open-kernel-dkms", "nvidia-persistenced", "nvidia-cuda-toolkit"],
            id="debian-13-archive-toolkit",
        ),
        pytest.param(
            "Ubuntu_24",
            {},
            [
                "libnvidia-compute-580",
                "nvidia-utils-580",
                "nvidia-dkms-580-open",
                "nvidia-compute-utils-580",
                "datacenter-gpu-manager-4-cuda13",
            ],
            id="ubuntu-580",
        ),
        pytest.param(
            "Ubuntu_24",
            {"nvidia_branch": 595, "nvidia_dcgm": False, "nvidia_persistenced": False},
            ["libnvidia-compute", "nvidia-utils", "nvidia-dkms-open"],
            id="ubuntu-595-without-the-rest",
        ),
        pytest.param(
            "Ubuntu_24",
            {"nvidia_source": "distribution", "nvidia_branch": 590, "nvidia_kernel_modules": "proprietary"},
            ["libnvidia-compute-590", "nvidia-utils-590", "nvidia-dkms-590", "nvidia-compute-utils-590"],
            id="ubuntu-archive",
        ),
        pytest.param(
            "RedHat_9",
            {},
            ["nvidia-driver-cuda", "kmod-nvidia-open-dkms", "nvidia-persistenced", "datacenter-gpu-manager-4-cuda13"],
            id="el-9",
        ),
        pytest.param(
            "RedHat_10",
            {"nvidia_kernel_modules": "proprietary", "nvidia_cuda_toolkit": True, "nvidia_container_toolkit": True},
            [
                "nvidia-driver-cuda",
                "kmod-nvidia-latest-dkms",
                "nvidia-persistenced",
                "datacenter-gpu-manager-4-cuda13",
                "cuda-toolkit-13",
                "nvidia-container-toolkit",
            ],
            id="el-10-all",
        ),
        pytest.param(
            "Amazon_2023",
            {"nvidia_branch": 570},
            ["nvidia-driver-cuda", "kmod-nvidia-open-dkms", "nvidia-persistenced", "datacenter-gpu-manager-4-cuda12"],
            id="amazon-with-an-older-branch",
        ),
    ],
)
def test_packages(family: str, given: dict[str, t.Any], packages: list[str]) -> None:
    assert rendered(family, "__nvidia_packages", **given) == packages


@pytest.mark.parametrize(
    ("family", "kernel", "running"),
    [
        pytest.param("Debian_12", ["linux-headers-amd64"], "linux-headers-6.1.0-56-amd64", id="debian-12"),
        pytest.param(
            "Debian_13", ["linux-headers-cloud-amd64"], "linux-headers-6.12.117+deb13-cloud-amd64", id="debian-13-cloud"
        ),
        pytest.param("Ubuntu_24", ["linux-headers-aws"], "linux-headers-6.8.0-1030-aws", id="ubuntu-aws"),
        pytest.param(
            "RedHat_9",
            ["kernel-devel-matched", "kernel-headers"],
            "kernel-devel-5.14.0-611.5.1.el9_7.x86_64",
            id="el-9",
        ),
        pytest.param(
            "Amazon_2023", ["kernel-headers"], "kernel-devel-6.1.158-180.294.amzn2023.x86_64", id="amazon-2023"
        ),
    ],
)
def test_headers(family: str, kernel: list[str], running: str) -> None:
    assert rendered(family, "__nvidia_kernel_packages") == kernel
    assert rendered(family, "__nvidia_running_kernel_package") == running


@pytest.mark.parametrize(
    ("family", "url", "key", "fingerprint"),
    [
        ("Debian_12", f"{NVIDIA}/debian12/x86_64", "3bf863cc.pub", "EB693B3035CD5710E231E123A4B469963BF863CC"),
        ("Debian_13", f"{NVIDIA}/debian13/x86_64", "8793F200.pub", "02182E60104FCDC26EAE1B8597A5D4CB8793F200"),
        ("Ubuntu_24", f"{NVIDIA}/ubuntu2404/x86_64", "3bf863cc.pub", "EB693B3035CD5710E231E123A4B469963BF863CC"),
        ("RedHat_9", f"{NVIDIA}/rhel9/x86_64", "D42D0685.pub", "610C7B14E068A878070DA4E99CD0A493D42D0685"),
        ("RedHat_10", f"{NVIDIA}/rhel10/x86_64", "CDF6BA43.pub", ""),
        ("Amazon_2023", f"{NVIDIA}/amzn2023/x86_64", "D42D0685.pub", "610C7B14E068A878070DA4E99CD0A493D42D0685"),
    ],
)
def test_repository_and_its_key(family: str, url: str, key: str, fingerprint: str) -> None:
    assert rendered(family, "__nvidia_url") == url
    assert rendered(family, "__nvidia_key") == f"{url}/{key}"
    assert rendered(family, "__nvidia_fingerprint") == fingerprint


def test_a_mirror_of_your_own() -> None:
    given = {"nvidia_repository_url": "https://mirror/n", "nvidia_repository_key": "n.asc"}
    assert rendered("Debian_12", "__nvidia_url", **given) == "https://mirror/n"
    assert rendered("Debian_12", "__nvidia_key", **given) == "n.asc"


def test_another_processor() -> None:
    assert rendered("Ubuntu_24", "__nvidia_url", architecture="aarch64") == f"{NVIDIA}/ubuntu2404/sbsa"
    assert rendered("Debian_12", "__nvidia_kernel_packages", architecture="aarch64") == ["linux-headers-arm64"]


@pytest.mark.parametrize(
    ("family", "given", "stream"),
    [
        ("RedHat_9", {}, "580-open"),
        ("RedHat_9", {"nvidia_kernel_modules": "proprietary"}, "580-dkms"),
        ("RedHat_10", {}, ""),
        ("Amazon_2023", {}, "580-open"),
        ("Amazon_2023", {"nvidia_source": "distribution"}, ""),
    ],
)
def test_stream(family: str, given: dict[str, t.Any], stream: str) -> None:
    assert rendered(family, "__nvidia_stream", **given) == stream


@pytest.mark.parametrize(
    ("family", "given", "units"),
    [
        ("Debian_12", {}, ["nvidia-persistenced.service", "nvidia-dcgm.service"]),
        ("Debian_13", {}, ["nvidia-persistenced.service"]),
        ("Debian_12", {"nvidia_source": "distribution"}, ["nvidia-persistenced.service"]),
        ("RedHat_9", {"nvidia_source": "preinstalled"}, ["nvidia-persistenced.service"]),
        ("RedHat_9", {"nvidia_persistenced": False, "nvidia_dcgm": False}, []),
        (
            "RedHat_9",
            {"nvidia_dcgm_exporter": True, "nvidia_persistenced": False},
            ["nvidia-dcgm.service", "nvidia-dcgm-exporter.service"],
        ),
        ("Debian_13", {"nvidia_dcgm_exporter": True, "nvidia_persistenced": False}, []),
    ],
)
def test_units(family: str, given: dict[str, t.Any], units: list[str]) -> None:
    assert rendered(family, "__nvidia_units", **given) == units


EXPORTER = "datacenter-gpu-manager-exporter"


@pytest.mark.parametrize("family", ["Debian_12", "Ubuntu_24", "RedHat_9", "RedHat_10", "Amazon_2023"])
def test_the_exporter_is_a_choice(family: str) -> None:
    assert EXPORTER not in rendered(family, "__nvidia_packages")
    assert EXPORTER in rendered(family, "__nvidia_packages", nvidia_dcgm_exporter=True)


@pytest.mark.parametrize(
    ("family", "given"),
    [
        ("Debian_13", {}),
        ("Ubuntu_24", {"nvidia_source": "distribution"}),
        ("RedHat_9", {"nvidia_source": "preinstalled"}),
        ("RedHat_9", {"nvidia_dcgm": False}),
    ],
)
def test_no_exporter_without_dcgm(family: str, given: dict[str, t.Any]) -> None:
    assert EXPORTER not in rendered(family, "__nvidia_packages", nvidia_dcgm_exporter=True, **given)
    # What validate.yml refuses.
    assert not rendered(family, "__nvidia_has_dcgm", **given)


@pytest.mark.parametrize("listen", ["127.0.0.1:9400", "10.42.1.5:9400", "[::1]:9400"])
def test_the_exporter_listens_where_it_is_told(listen: str) -> None:
    text = (ROLE / "templates/dcgm-exporter.conf.j2").read_text().replace("{{ ansible_managed | comment }}\n", "")
    written = text.replace("{{ nvidia_dcgm_exporter_listen }}", listen)
    assert f"\nEnvironment=DCGM_EXPORTER_LISTEN={listen}\n" in written
    assert "{{" not in written


LISTEN = {
    "127.0.0.1:9400": True,
    "gpu1.cluster:9400": True,
    "[fd00::1]:9400": True,
    ":9400": False,
    "9400": False,
    "127.0.0.1": False,
    "127.0.0.1:9400 --debug": False,
    "127.0.0.1:9400\nUser=x": False,
}


@pytest.mark.parametrize("listen", LISTEN)
def test_an_address_is_an_address_and_a_port(listen: str) -> None:
    tasks = DataLoader().load_from_file(str(ROLE / "tasks/validate.yml"))
    (rule,) = [one for one in tasks[0]["ansible.builtin.assert"]["that"] if "exporter_listen" in one]
    pattern = rule.split("match(")[1].strip("')").replace("\\\\", "\\")
    assert bool(re.match(pattern, listen) and re.fullmatch(pattern, listen)) is LISTEN[listen]
