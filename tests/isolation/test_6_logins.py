"""A session over SSH is held to the job that it is adopted into, and ends with it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from .box import FOLDER, PATIENCE, PROBE, Box
from .test_4_devices import ALLOWED, REFUSED

OPTIONS = "--cpus-per-task=1 --mem=150 --gres=gpu:1"


def guard(box: Box, **variables: bool) -> None:
    done = box.play(str(FOLDER / "guard.yml"), "--extra-vars", json.dumps(variables))
    assert done.rc == 0, done.output


@pytest.fixture(scope="module", autouse=True)
def _opened_again(box: Box) -> Iterator[None]:
    yield
    guard(box, login_guard_enabled=False)


def job_of(box: Box, user: str) -> int:
    job = box.submit(user, OPTIONS, "exec sleep 7300")
    box.until_running(job)
    return job


def seen(box: Box, user: str, words: str) -> dict[str, object]:
    status, said = box.login(user, f"python3 {PROBE} {words}")
    assert status == 0, said
    return dict(json.loads(said))


def test_without_the_guard_a_session_is_nobodys(box: Box) -> None:
    job_of(box, "alice")
    assert seen(box, "alice", "cores")["cores"] == [0, 1]
    assert seen(box, "alice", "devices")["open"] == {"0": ALLOWED, "1": ALLOWED}


def test_logind_would_take_the_session_out_of_its_job(box: Box) -> None:
    guard(box, login_guard_enabled=True, login_guard_mask_logind=False)
    job_of(box, "alice")
    status, said = box.login("alice", "cat /proc/self/cgroup")
    assert (status, said.startswith("0::/user.slice/")) == (0, True), said


def test_a_session_has_what_its_job_has(box: Box) -> None:
    guard(box, login_guard_enabled=True)
    status, said = box.login("alice", "true")
    assert (status, "you have no active jobs on this node" in said) == (255, True), said

    first, second = job_of(box, "bob"), job_of(box, "alice")
    assert f"/job_{second}/step_extern/" in box.login("alice", "cat /proc/self/cgroup")[1]
    assert seen(box, "alice", "devices")["open"] == {"0": REFUSED, "1": ALLOWED}
    assert seen(box, "bob", "devices")["open"] == {"0": ALLOWED, "1": REFUSED}
    cores = [seen(box, user, "cores") for user in ("bob", "alice")]
    assert [one["after"] for one in cores] == [[0], [1]]
    # Within the job's memory, and over it.
    assert seen(box, "alice", "memory 50")["took"] == 50
    assert box.login("alice", f"python3 {PROBE} memory 300; echo ended with $?")[1].endswith("ended with 137\n")
    assert box.sh(f"squeue --noheader --format=%T --jobs={first}") == "RUNNING\n"


def test_a_session_ends_with_its_job_with_all_that_it_started(box: Box) -> None:
    job = job_of(box, "alice")
    box.sh(f"setsid --fork bash -c 'until pgrep -u alice -f \"^sleep 7401\"; do sleep 1; done; scancel {job}' >&- 2>&-")
    status, _said = box.login("alice", "setsid --fork sleep 7400; sleep 7401")
    assert status == 255
    box.until("! pgrep -u alice -f '^sleep 740'", "what the session started is gone", PATIENCE)
    assert box.login("alice", "true")[0] == 255
