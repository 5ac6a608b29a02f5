"""A fresh controller from the archive of the lost one."""

from __future__ import annotations

import stat
import subprocess
import typing as t
from pathlib import Path

from tests import jobs_survived

# Its parts are made at run time, so no type checker knows them.
Host = t.Any
testinfra_hosts = ["ssh://ctl"]


def test_archive_is_for_its_owner_alone(host: Host) -> None:
    (archive,) = (Path(host.backend.ssh_config).parent / "backup").iterdir()
    assert stat.filemode(archive.stat().st_mode) == "-rw-------"
    listed = subprocess.run(
        ["tar", "--zstd", "-tf", archive], capture_output=True, text=True, check=True
    ).stdout.split()
    for name in ("about.json", "database.sql", "etc/slurm.conf", "etc/slurmdbd.conf", "munge.key", "state/job_state"):
        assert f"./{name}" in listed


def test_nothing_of_it_is_left_on_the_controller(host: Host) -> None:
    assert host.file("/var/backups/slurm").listdir() == []


def test_running_job_is_known_and_did_not_notice(host: Host) -> None:
    jobs_survived.check_long_job_goes_on(host)
    jobs_survived.check_both_are_accounted(host)


def test_job_is_heard_when_it_ends(host: Host) -> None:
    jobs_survived.check_long_job_ends(host)


def test_new_job_gets_the_next_number(host: Host) -> None:
    job = int(host.check_output("sbatch --parsable --wait --output=/dev/null --wrap true"))
    assert job == jobs_survived.jobs(host)["long"] + 1
    assert jobs_survived.accounted(host, job) == "COMPLETED|0:0"
