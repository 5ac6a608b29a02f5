"""The lab's hosts come from its inventory, and bad ones are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import LabError
from lab.settings import CHECKOUT, Host, key_of, load

HOSTS = """
all:
  children:
    slurm_controller:
      hosts:
        ctl: {lab_octet: 11}
    slurm_compute:
      vars: {lab_gpus: 2}
      hosts:
        gpu1: {lab_octet: 12, lab_artifact_cache: true}
        elsewhere: {}
"""


def _inventory(folder: Path, text: str) -> Path:
    (folder / "hosts.yml").write_text(text)
    return folder


def test_hosts_and_their_group_variables(tmp_path: Path) -> None:
    lab = load("demo", _inventory(tmp_path, HOSTS))
    assert lab.hosts == [Host("ctl", 11), Host("gpu1", 12, gpus=2, artifact_cache=True)]


def test_a_release_of_its_own(tmp_path: Path) -> None:
    text = HOSTS.replace("elsewhere: {}", "gpu2: {lab_octet: 13, lab_suite: trixie}")
    assert [host.suite for host in load("demo", _inventory(tmp_path, text)).hosts] == ["bookworm", "bookworm", "trixie"]


def test_a_folder_that_hosts_share(tmp_path: Path) -> None:
    text = HOSTS.replace("lab_octet: 11", "lab_octet: 11, lab_shared: /srv/state")
    assert [host.shared for host in load("demo", _inventory(tmp_path, text)).hosts] == ["/srv/state", ""]


def test_the_demo_has_three_hosts() -> None:
    lab = load("demo", CHECKOUT / "inventory/lab")
    assert [(host.name, host.gpus) for host in lab.hosts] == [("ctl", 0), ("gpu1", 2), ("gpu2", 2)]
    assert [host.name for host in lab.hosts if host.artifact_cache] == ["gpu1"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        pytest.param("Demo", HOSTS, "lab name 'Demo': allowed are", id="name"),
        pytest.param("demo", "all: {}", "no host has lab_octet", id="no hosts"),
        pytest.param("demo", HOSTS.replace("12", "11"), "found [11, 11]", id="one octet twice"),
        pytest.param("demo", HOSTS.replace("12", "5"), "found [11, 5]", id="octet of the hub"),
        pytest.param("demo", "", "no host has lab_octet", id="empty"),
        pytest.param(
            "demo", HOSTS.replace("12", "twelve"), "is no inventory of a lab: invalid literal", id="octet in words"
        ),
        pytest.param("demo", "all: [ctl]", "is no inventory of a lab", id="a list"),
        pytest.param("demo", HOSTS.replace("gpu1", "gpu1;reboot"), "found ['gpu1;reboot']", id="host name"),
        pytest.param("demo", HOSTS.replace("gpu1", "hub"), "found ['hub']", id="name of the hub"),
        pytest.param("demo", "{", "reading the lab's hosts from", id="no YAML"),
    ],
)
def test_bad_labs_are_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(LabError) as refused:
        load(name, _inventory(tmp_path, text))
    assert message in str(refused.value)


def test_key_depends_on_each_part_and_on_their_borders() -> None:
    assert key_of("a", "b") == key_of("a", "b")
    assert len({key_of("a", "b"), key_of("ab"), key_of("ab", ""), key_of("b", "a")}) == 4


def test_facts_that_cannot_be_read_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOPS_STATE", str(tmp_path))
    lab = load("demo", _inventory(tmp_path, HOSTS))
    lab.state.mkdir()
    lab.facts_file.write_text("{")
    with pytest.raises(LabError, match=r"reading .*demo/lab.json failed: .* Remove it"):
        lab.facts()


def test_names_of_one_lab_are_never_the_beginning_of_anothers(tmp_path: Path) -> None:
    inventory = _inventory(tmp_path, HOSTS)
    one, other = load("a", inventory), load("a-b", inventory)
    assert not other.container("ctl").startswith(one.container(""))
    assert not other.network("1").startswith(one.network(""))
