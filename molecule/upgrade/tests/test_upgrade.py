"""A newer release of Slurm, from packages, under a running job of one that was built."""

from __future__ import annotations

import typing as t

import pytest
import testinfra

from tests import jobs_survived

# Its parts are made at run time, so no type checker knows them.
Host = t.Any
testinfra_hosts = ["ssh://ctl"]
BACKUPS = "/var/backups/slurm"


@pytest.fixture(scope="module")
def node(host: Host) -> Host:
    return testinfra.get_host("ssh://gpu1", ssh_config=host.backend.ssh_config, sudo=True)


def test_everything_is_of_the_newer_release(host: Host) -> None:
    package = host.package("slurm-client").version
    version = package.rpartition("-")[0]
    assert version >= "26.05"
    assert host.check_output("scontrol version").split()[-1] == version
    assert version in host.check_output("scontrol show config | grep ^SLURM_VERSION")
    assert host.check_output("sinfo --noheader --format=%v") == version
    assert host.check_output("readlink /opt/slurm/current").startswith(f"/opt/slurm/{package}-")


@pytest.mark.parametrize(("where", "daemons"), [("ctl", ["slurmctld", "slurmdbd"]), ("gpu1", ["slurmd"])])
def test_packages_are_under_the_rule_of_the_role(host: Host, node: Host, where: str, daemons: list[str]) -> None:
    one = host if where == "ctl" else node
    units = [f"{daemon}.service" for daemon in daemons]
    for look in ("list-unit-files --state=enabled", "list-units --state=running"):
        found = one.check_output(f"systemctl {look} --no-legend --plain 'slurm*.service'")
        assert [line.split()[0] for line in found.splitlines()] == units
    for daemon in daemons:
        assert one.check_output(f"systemctl show --property=FragmentPath --value {daemon}").startswith("/etc/systemd/")
        pid = one.check_output(f"systemctl show --property=MainPID --value {daemon}")
        assert one.check_output(f"readlink /proc/{pid}/exe").startswith("/usr/sbin/")
    assert {"slurm-client", *daemons} <= set(one.check_output("apt-mark showhold").split())
    assert not one.file("/usr/sbin/policy-rc.d").exists
    assert (one.user("slurm").uid, one.user("slurm").gid) == (401, 401)


def test_database_and_state_were_saved_before(host: Host) -> None:
    assert oct(host.file(BACKUPS).mode) == "0o700"
    names = host.file(BACKUPS).listdir()
    assert sorted(name.rpartition("-")[0] for name in names) == [
        "database-24.11.5-4+deb13u1",
        "state-24.11.5-4+deb13u1",
    ]
    for name in names:
        found = host.file(f"{BACKUPS}/{name}")
        assert (found.user, oct(found.mode)) == ("root", "0o600")
    dump = next(name for name in names if name.startswith("database-"))
    assert "CREATE TABLE `lab_job_table`" in host.check_output(f"zstd -dc {BACKUPS}/{dump}")


def test_systemd_has_its_usual_limit_again(host: Host) -> None:
    assert host.check_output("systemctl show --property=TimeoutStartUSec --value slurmdbd") == "1min 30s"


def test_running_job_did_not_notice(host: Host) -> None:
    jobs_survived.check_long_job_goes_on(host)
    jobs_survived.check_both_are_accounted(host)


def test_job_of_the_older_release_is_heard_when_it_ends(host: Host) -> None:
    jobs_survived.check_long_job_ends(host)


def test_new_job_runs(host: Host, node: Host) -> None:
    for one in (host, node):
        assert one.check_output("cd /; srun --immediate=30 hostname") == "gpu1"
