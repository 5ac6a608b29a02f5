"""The role munge, from source, on two hosts."""

from __future__ import annotations

import typing as t

import testinfra

# Its parts are made at run time, so no type checker knows them.
Host = t.Any
testinfra_hosts = ["ssh://m1", "ssh://m2"]


def _other(host: Host) -> Host:
    name = "m2" if host.backend.get_hostname() == "m1" else "m1"
    return testinfra.get_host(f"ssh://{name}", ssh_config=host.backend.ssh_config, sudo=True)


def test_daemon_runs_from_this_build(host: Host) -> None:
    assert host.service("munge").is_running
    assert host.service("munge").is_enabled
    assert "0.5.18" in host.check_output("/opt/munge/current/sbin/munged --version")


def test_key_is_readable_by_munge_alone(host: Host) -> None:
    key = host.file("/etc/munge/munge.key")
    assert (key.user, key.group, oct(key.mode)) == ("munge", "munge", "0o400")
    assert oct(host.file("/etc/munge").mode) == "0o700"
    assert key.size == 1024


def test_credential_of_one_host_is_read_on_the_other(host: Host) -> None:
    credential = host.check_output("/opt/munge/current/bin/munge --no-input")
    done = _other(host).run(f"echo {credential} | /opt/munge/current/bin/unmunge")
    assert done.rc == 0, done.stdout + done.stderr
    assert "STATUS:          Success (0)" in done.stdout


def test_user_has_the_id_that_was_asked_for(host: Host) -> None:
    assert host.user("munge").uid == 402
    assert host.user("munge").gid == 402


def test_no_compiler_where_nothing_was_built(host: Host) -> None:
    if host.backend.get_hostname() == "m1":
        assert not host.exists("gcc"), "m1 got the build of m2 and needs no compiler"
