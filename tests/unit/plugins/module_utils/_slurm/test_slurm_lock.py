# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import typing as t

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.errors import LockError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.lock import (
    LOCKS,
    job_lock,
    job_locks,
    lock_paths,
)

if t.TYPE_CHECKING:
    from pathlib import Path


def lock_path(who: str, directory: str) -> str:
    (path,) = lock_paths([who], directory)
    return path


def test_jobs_have_files_of_their_own_and_a_thousand_share_some(tmp_path: Path) -> None:
    paths = lock_paths(["vllm:phi3", "vllm:mistral", "root:phi3"], str(tmp_path))
    assert len(paths) == 3
    assert paths == sorted(paths, key=lambda path: int(path.rsplit("-", 1)[1].removesuffix(".lock")))
    assert all(path.startswith(str(tmp_path)) for path in paths)
    assert len(lock_paths((f"vllm:job{number}" for number in range(1000)), str(tmp_path))) == LOCKS


def test_all_locks_are_held_and_let_go(tmp_path: Path) -> None:
    paths = lock_paths(["vllm:phi3", "vllm:mistral"], str(tmp_path))
    with (
        job_locks(paths, what="two jobs"),
        pytest.raises(LockError, match="Locking one of them failed"),
        job_lock(paths[1], what="one of them", timeout=0),
    ):
        pytest.fail("got a lock that is held")
    with job_locks(paths, what="two jobs", timeout=0):
        pass


def test_a_held_lock_is_waited_for_and_then_named(tmp_path: Path) -> None:
    path = lock_path("vllm:phi3", str(tmp_path))
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    with open(path, "w", encoding="utf-8") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with (
            pytest.raises(LockError) as caught,
            job_lock(path, what="the job phi3 of vllm", clock=lambda: now[0], sleep=sleep),
        ):
            pytest.fail("got a lock that another run holds")
    assert caught.value.message == (
        f"Locking the job phi3 of vllm failed: another run on this host has held {path} for 300 seconds. "
        "Wait for that run, or end it."
    )


def test_the_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    path = lock_path("vllm:phi3", str(tmp_path))
    with pytest.raises(KeyError), job_lock(path, what="it"):
        raise KeyError
    with job_lock(path, what="it", timeout=0):
        assert os.path.exists(path)


def test_a_link_in_the_shared_directory_is_not_followed(tmp_path: Path) -> None:
    path = lock_path("vllm:phi3", str(tmp_path))
    os.symlink(tmp_path / "elsewhere", path)
    message = "Locking the job phi3 of vllm failed: .* Remove what stands at"
    with pytest.raises(LockError, match=message), job_lock(path, what="the job phi3 of vllm"):
        pytest.fail("followed a link")
    assert not (tmp_path / "elsewhere").exists()


OUTLIVED = """
import os, signal, sys
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.lock import job_lock
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.run import run
with job_lock(sys.argv[1], what="the job phi3 of vllm"):
    run(["sh", "-c", "kill -KILL $PPID; sleep 1; echo submitted > $0", sys.argv[2]], {"PATH": os.environ["PATH"]})
"""


def test_a_command_that_outlives_its_run_keeps_the_lock(tmp_path: Path) -> None:
    path, submitted = lock_path("vllm:phi3", str(tmp_path)), tmp_path / "submitted"
    argv = [sys.executable, "-c", OUTLIVED, path, str(submitted)]
    done = subprocess.run(argv, env={**os.environ, "PYTHONPATH": ":".join(sys.path)}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not submitted.exists()
    with job_lock(path, what="the job phi3 of vllm", timeout=60):
        assert submitted.exists()
