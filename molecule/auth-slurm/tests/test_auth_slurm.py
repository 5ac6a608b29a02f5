"""auth/slurm instead of munge, and another key under a running job."""

from __future__ import annotations

import json
import typing as t

import pytest
import testinfra

from tests import jobs_survived

# Its parts are made at run time, so no type checker knows them.
Host = t.Any
testinfra_hosts = ["ssh://ctl"]


@pytest.fixture(scope="module")
def node(host: Host) -> Host:
    return testinfra.get_host("ssh://gpu1", ssh_config=host.backend.ssh_config, sudo=True)


def test_there_is_no_munge(host: Host, node: Host) -> None:
    for one in (host, node):
        assert not one.exists("munged")
        assert not one.file("/etc/munge").exists
    assert "auth/slurm" in host.check_output("scontrol show config | grep ^AuthType")


@pytest.mark.parametrize("where", ["ctl", "gpu1"])
def test_keys_are_readable_by_slurm_alone(host: Host, node: Host, where: str) -> None:
    found = (host if where == "ctl" else node).file("/etc/slurm/slurm.jwks")
    assert (found.user, found.group, oct(found.mode)) == ("slurm", "slurm", "0o600")


def test_both_keys_are_known_and_the_new_one_signs(host: Host, node: Host) -> None:
    keys = [json.loads(one.file("/etc/slurm/slurm.jwks").content_string)["keys"] for one in (host, node)]
    assert keys[0] == keys[1]
    assert [key.get("use") for key in keys[0]] == [None, "default"]


def test_users_need_no_key(host: Host, node: Host) -> None:
    for one in (host, node):
        assert one.check_output("runuser -u nobody -- sinfo --noheader --format=%N") == "gpu1"


def test_running_job_did_not_notice(host: Host) -> None:
    jobs_survived.check_long_job_goes_on(host)
    jobs_survived.check_both_are_accounted(host)


def test_job_under_the_old_key_is_heard_when_it_ends(host: Host) -> None:
    jobs_survived.check_long_job_ends(host)


def test_new_job_runs(host: Host) -> None:
    assert host.check_output("cd /; srun --immediate=30 hostname") == "gpu1"
