"""A second controller takes over and gives back, under jobs that go on; then what else is done to controllers.

A lab of its own with Slurm alone. The tests follow each other: each begins where the one before ended.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.settings import load
from tests.cluster import Cluster, Play, lab_command

NAME = "backup"
INVENTORY = Path(__file__).parent / "inventory"
STATE = "/srv/slurm/state"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="session", autouse=True)
def _only_the_first_model() -> None:
    """What the other integration tests need of their lab has no meaning here."""


class Pair(Cluster):
    """The lab, and the job that runs all the time."""

    job: str
    folder: Path

    def deploy(self, *arguments: str) -> Play:
        return self.play("playbooks/deploy_slurm.yml", *arguments, inventory=INVENTORY)

    def submit(self, *words: str, host: str = "ctl") -> str:
        line = "cd / && sbatch --parsable --mem=10 --output=/dev/null --wrap"
        return self.run(host, f"{line} '{' '.join(words)}'", "admin").strip()

    def slurm_job(self, **options: Any) -> dict[str, Any]:
        """One task of the module on ctl."""
        result = self.folder / "result.json"
        result.unlink(missing_ok=True)
        wanted = {"user": "admin", "options": {"mem": "10M", "output": "/dev/null"}, **options}
        tasks = [
            {"llmops.cluster.slurm_job": wanted, "register": "result"},
            {
                "ansible.builtin.copy": {"content": "{{ result | to_json }}", "dest": str(result), "mode": "0644"},
                "delegate_to": "localhost",
                "become": False,
            },
        ]
        book = self.folder / "task.yml"
        book.write_text(yaml.safe_dump([{"hosts": "ctl", "become": True, "gather_facts": False, "tasks": tasks}]))
        done = self.play(str(book), inventory=INVENTORY)
        assert done.rc == 0, done.output
        return dict(json.loads(result.read_text()))

    def state(self, job: str) -> str:
        return self.run("n1", f"squeue --noheader --jobs={job} --states=all --format=%T").strip()

    def in_charge(self, who: str, seconds: float = 90) -> None:
        """Waits until this one of the two answers for the cluster."""
        words = {"ctl": "primary) at ctl is UP", "ctl2": "primary) at ctl is DOWN"}[who]
        end = time.monotonic() + seconds
        while True:
            said = self.run("n1", "scontrol ping; squeue --noheader --format=%i; echo $?", check=False)
            if words in said and "backup) at ctl2 is UP" in said and f"\n{self.job}\n" in said:
                return
            assert time.monotonic() < end, said
            time.sleep(1)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    where = ("--inventory", str(INVENTORY))
    lab_command("down", NAME, *where)
    lab_command("up", NAME, *where, "--no-hub")
    found = Pair(load(NAME, INVENTORY))
    found.folder = tmp_path_factory.mktemp("tasks")
    yield found
    lab_command("down", NAME, *where)


REFUSED = {
    "a folder of the controller": (
        "/var/spool/slurmctld",
        "ctl2 shall back up ctl, but nobody said where both see the jobs: slurm_state_save_location is "
        "/var/spool/slurmctld, a folder of the controller alone. Nothing was changed.",
    ),
    "a folder that is not shared": (
        "/srv/own/state",
        "slurm_state_save_location is /srv/own/state, but what ctl writes in /srv ctl2 does not see: it would take "
        "over without a job. Nothing was changed.",
    ),
}


@pytest.mark.parametrize(("folder", "words"), REFUSED.values(), ids=list(REFUSED))
def test_refused_before_a_host_is_touched(pair: Pair, folder: str, words: str) -> None:
    done = pair.deploy("-e", f"slurm_state_save_location={folder}")
    assert done.rc != 0
    assert words in done.words
    assert done.changed == 0
    assert [
        pair.run(host, "ls -A /srv/slurm; ls -d /srv/.llmops* /srv/own", check=False) for host in ("ctl", "ctl2")
    ] == ["", ""]


def test_made_and_not_made_again(pair: Pair) -> None:
    done = pair.deploy()
    assert done.rc == 0, done.output[-5000:]
    again = pair.deploy()
    assert (again.rc, again.changed) == (0, 0), again.output[-5000:]
    thorough = pair.deploy("-e", "llmops_thorough=true")
    assert (thorough.rc, thorough.changed) == (0, 0), thorough.output[-5000:]
    pair.job = pair.submit("sleep 7200")
    pair.in_charge("ctl")


def test_taken_over_by_command_and_given_back(pair: Pair) -> None:
    ends = pair.submit("sleep 20")
    waits = pair.submit("true", host="n1")
    pair.run("ctl2", "scontrol takeover")
    pair.in_charge("ctl2")
    new = pair.submit("sleep 1")
    service = {"name": "service", "script_content": "#!/bin/sh\nexec sleep 7200\n", "state": "running"}
    made = pair.slurm_job(**service)
    assert made["changed"]
    assert not pair.slurm_job(**service)["changed"]
    _until_ended(pair, ends, waits, new)
    # slurmctld of ctl was asked to end, and did; a run finds that and starts it.
    done = pair.deploy()
    assert done.rc == 0, done.output[-5000:]
    pair.in_charge("ctl")
    assert not pair.slurm_job(**service)["changed"]
    assert pair.state(str(made["job_id"])) == "RUNNING"
    assert pair.slurm_job(name="service", state="absent")["changed"]
    assert pair.deploy().changed == 0


def test_killed_and_come_back(pair: Pair) -> None:
    """Its host lives, but nobody starts it again: as good as a host that is gone, for all who ask it."""
    ends = pair.submit("sleep 15")
    pair.run("ctl", "mkdir -p /run/systemd/system/slurmctld.service.d")
    pair.run("ctl", "printf '[Service]\\nRestart=no\\n' > /run/systemd/system/slurmctld.service.d/no.conf")
    pair.run("ctl", "systemctl daemon-reload; systemctl kill --signal=KILL slurmctld")
    pair.in_charge("ctl2")
    new = pair.submit("sleep 1")
    service = {"name": "other", "script_content": "#!/bin/sh\nexec sleep 7200\n", "state": "submitted"}
    made = pair.slurm_job(**service)
    assert made["changed"]
    _until_ended(pair, ends, new)
    pair.run("ctl", "rm -r /run/systemd/system/slurmctld.service.d; systemctl daemon-reload; systemctl start slurmctld")
    pair.in_charge("ctl")
    assert not pair.slurm_job(**service)["changed"]
    assert pair.state(str(made["job_id"])) == "RUNNING"
    assert pair.slurm_job(name="other", state="absent")["changed"]
    assert pair.deploy().changed == 0


def test_archive_of_both(pair: Pair) -> None:
    done = pair.play("playbooks/backup_controller.yml", inventory=INVENTORY)
    assert done.rc == 0, done.output[-5000:]
    assert "/state/job_state" in pair.run("ctl", "tar --zstd -tf /var/backups/slurm/controller-*.tar.zst")
    pair.in_charge("ctl")


def test_another_key_for_both(pair: Pair) -> None:
    done = pair.play("playbooks/rotate_key.yml", inventory=INVENTORY)
    assert done.rc == 0, done.output[-5000:]
    pair.in_charge("ctl")
    assert len({pair.run(host, "sha256sum /etc/munge/munge.key") for host in ("ctl", "ctl2", "n1")}) == 1
    assert pair.run("ctl2", "cd / && srun --mem=10 hostname", "admin").strip() == "n1"


def test_one_that_lives_is_not_written_over(pair: Pair) -> None:
    archive = pair.folder / "archive"
    archive.write_text("")
    given = ("-e", f"slurm_recover_archive={archive}")
    pair.run("ctl", "systemctl stop slurmctld")
    done = pair.play("playbooks/recover_controller.yml", *given, inventory=INVENTORY)
    assert done.rc != 0
    assert "a controller answers it" in done.words
    assert "First stop slurmctld on the backup controller ctl2" in done.words
    assert done.changed == 0
    pair.run("ctl", "systemctl start slurmctld")
    pair.in_charge("ctl")


def _until_ended(pair: Pair, *jobs: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while (states := [pair.state(job) for job in jobs]) != ["COMPLETED"] * len(jobs):
        assert time.monotonic() < end, states
        time.sleep(1)
    assert pair.state(pair.job) == "RUNNING"
