"""Who may log in to a compute host, over SSH, with the pam_slurm_adopt of the lab's Slurm.

The lab has no cgroups of Slurm's: a session becomes part of its job and ends with it, but no limit is laid on it here.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.settings import ADMIN
from tests.cluster import Cluster, Play

PLAYBOOK = str(Path(__file__).with_name("guard.yml"))
GUEST, UID = "guest", 4711
DENIED = "Access denied by pam_slurm_adopt: you have no active jobs on this node"


def login(site: Cluster, user: str, command: str = "id -un") -> tuple[int, str]:
    """A session of its own, as a person's."""
    argv = ["ssh", "-F", str(site.lab.ssh_config), "-o", "ControlPath=none", "-o", "BatchMode=yes", "-l", user, "gpu1"]
    done = subprocess.run([*argv, command], text=True, capture_output=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def guard(site: Cluster, *arguments: str) -> Play:
    done = site.play(PLAYBOOK, *arguments)
    assert done.rc == 0, done.output
    return done


def submit(site: Cluster, command: str) -> int:
    line = f'cd /tmp && sbatch --parsable --nodelist=gpu1 --mem=100 --output=/dev/null --wrap="{command}"'
    job = int(site.run("ctl", line, user=GUEST))
    site.run(
        "ctl", f"for i in $(seq 120); do [ $(squeue -h -o %T -j {job}) = RUNNING ] && exit; sleep 0.5; done; exit 1"
    )
    return job


@pytest.fixture
def guest(site: Cluster) -> Iterator[None]:
    """A user of the cluster, with the key of the lab's administrator."""
    for host in ("ctl", "gpu1"):
        site.run(host, f"id {GUEST} 2>&- || useradd --create-home --uid {UID} --shell /bin/bash {GUEST}")
    keys = f"/home/{GUEST}/.ssh"
    site.run(
        "gpu1",
        f"install -d -m 700 -o {GUEST} {keys}; install -m 600 -o {GUEST} /home/{ADMIN}/.ssh/authorized_keys {keys}",
    )
    guard(site)
    yield
    site.run("ctl", f"scancel --user={GUEST}", check=False)
    guard(site)
    for host in ("ctl", "gpu1"):
        site.run(host, f"pkill -KILL -u {GUEST}; userdel --remove {GUEST} 2>&1", check=False)


@pytest.fixture
def _contain(site: Cluster) -> Iterator[None]:
    """A step for sessions in each job, which the lab's jobs do without."""
    conf, was = "/etc/slurm/slurm.conf", "PrologFlags=Alloc"
    reconfigure = "for i in 1 2 3; do scontrol reconfigure && exit; sleep 2; done; exit 1"
    site.run("ctl", f"grep -qx {was} {conf} && sed -i 's/^{was}$/{was},Contain/' {conf}; {reconfigure}")
    yield
    site.run("ctl", f"sed -i 's/^{was},Contain$/{was}/' {conf}; {reconfigure}")


@pytest.mark.usefixtures("_contain", "guest")
def test_no_login_without_a_job(site: Cluster) -> None:
    assert login(site, GUEST) == (0, f"{GUEST}\n")
    given = ("--extra-vars", "login_guard_enabled=true")
    assert guard(site, *given, "--check").changed > 0
    assert login(site, GUEST)[0] == 0
    assert guard(site, *given).changed > 0
    assert guard(site, *given).changed == 0
    assert guard(site, *given, "--check").changed == 0

    # Ansible's user comes in as before, on a new connection too.
    assert login(site, ADMIN) == (0, f"{ADMIN}\n")
    code, said = login(site, GUEST)
    assert (code, DENIED in said) == (255, True)

    theirs = int(
        site.run(
            "gpu1", "setsid --fork sleep 7010; until pgrep -u vllm -f '^sleep 7010'; do sleep 0.1; done", user="vllm"
        )
    )
    job = submit(site, "sleep 600")
    try:
        assert login(site, GUEST) == (0, f"{GUEST}\n")
        # What others run is not theirs to end, by a signal or through Slurm.
        code, said = login(site, GUEST, f"kill -9 {theirs}")
        assert (code, "Operation not permitted" in said) == (1, True)
        site.run("gpu1", f"kill -0 {theirs}")
        # Cancelled under it, the session ends with its job.
        site.run("ctl", f"setsid --fork sh -c 'sleep 2; scancel {job}'")
        assert login(site, GUEST, "sleep 300")[0] != 0
        site.run("gpu1", "! pgrep -f '^sleep 300'")
    finally:
        site.run("ctl", f"scancel {job}")
        site.run("gpu1", f"kill {theirs}")
    site.run("gpu1", f"for i in $(seq 120); do pgrep -u {GUEST} sleep || exit 0; sleep 0.5; done; exit 1")
    assert DENIED in login(site, GUEST)[1]

    assert guard(site).changed > 0
    assert guard(site).changed == 0
    assert login(site, GUEST)[0] == 0


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (
            '{"login_guard_admin_groups": ["sudo deny"]}',
            "login_guard_admin_users or login_guard_admin_groups has sudo deny;",
        ),
        (
            '{"login_guard_module": "/lib/none.so"}',
            "Guarding the logins of gpu1 failed: /lib/none.so is not there, build Slurm with --enable-pam; Slurm has "
            "PrologFlags 'Alloc', with which who has a job stays out too, set Contain. Nothing was changed.",
        ),
    ],
    ids=["a-name-that-pam-would-split", "no-module-and-no-contain"],
)
def test_a_guard_that_would_be_none_is_refused(site: Cluster, value: str, words: str) -> None:
    before = site.run("gpu1", "sha256sum /etc/pam.d/sshd")
    done = site.play(PLAYBOOK, "--extra-vars", "login_guard_enabled=true", "--extra-vars", value)
    assert (done.rc, words in done.words) == (2, True), done.output
    assert "Nothing was changed." in done.words
    assert site.run("gpu1", "sha256sum /etc/pam.d/sshd") == before
