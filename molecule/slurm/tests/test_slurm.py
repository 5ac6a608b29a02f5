"""The role slurm: one controller with its database, one compute host with two GPU device files."""

from __future__ import annotations

import json
import typing as t

import pytest
import testinfra

# Its parts are made at run time, so no type checker knows them.
Host = t.Any
testinfra_hosts = ["ssh://ctl"]


@pytest.fixture(scope="module")
def node(host: Host) -> Host:
    return testinfra.get_host("ssh://gpu1", ssh_config=host.backend.ssh_config, sudo=True)


def test_daemons_run(host: Host, node: Host) -> None:
    for name in ("mariadb", "slurmdbd", "slurmctld"):
        assert host.service(name).is_running, host.check_output(f"journalctl -n 20 -u {name}")
        assert host.service(name).is_enabled
    assert node.service("slurmd").is_running, node.check_output("journalctl -n 20 -u slurmd")


def test_node_has_no_configuration_of_its_own(node: Host) -> None:
    assert not node.file("/etc/slurm/slurm.conf").exists
    assert "gpu1" in node.check_output("sinfo --noheader --format=%N")


def test_gpus_are_scheduled(host: Host) -> None:
    told = json.loads(host.check_output("scontrol show node gpu1 --json"))["nodes"][0]
    assert told["gres"].startswith("gpu:l4:2")
    assert "IDLE" in told["state"]


def test_job_sees_its_own_gpu_alone(host: Host) -> None:
    command = "srun --immediate=30 --gres=gpu:1 sh -c 'echo $CUDA_VISIBLE_DEVICES $SLURM_STEP_GPUS'"
    assert host.check_output(command).split() in (["0", "0"], ["1", "1"])


def test_job_is_accounted_with_its_gpu(host: Host) -> None:
    job = host.check_output("sbatch --parsable --wait --gres=gpu:2 --output=/dev/null --wrap true")
    row = host.check_output(f"sacct --noheader --parsable2 --allocations --jobs={job} --format=State,AllocTRES")
    assert row.startswith("COMPLETED|")
    assert "gres/gpu=2" in row


def test_more_gpus_than_there_are_is_refused(host: Host) -> None:
    done = host.run("sbatch --gres=gpu:3 --wrap true")
    assert done.rc == 1
    assert "Requested node configuration is not available" in done.stderr


@pytest.mark.parametrize(
    ("path", "owner", "mode"),
    [
        ("/etc/munge/munge.key", "munge", "0o400"),
        ("/etc/slurm/slurmdbd.conf", "slurm", "0o600"),
        ("/etc/slurm/slurm.conf", "root", "0o644"),
        ("/var/spool/slurmctld", "slurm", "0o700"),
    ],
)
def test_files_belong_to_whom_they_should(host: Host, path: str, owner: str, mode: str) -> None:
    found = host.file(path)
    assert (found.user, oct(found.mode)) == (owner, mode)


def test_database_takes_the_user_slurm_by_its_process_only(host: Host) -> None:
    assert host.run("runuser -u slurm -- mariadb -e 'select 1' slurm_acct_db").rc == 0
    assert host.run("runuser -u nobody -- mariadb -u slurm -e 'select 1' slurm_acct_db").rc != 0
