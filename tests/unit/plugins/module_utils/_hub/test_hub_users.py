# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._hub.users import (
    Queue,
    jobs_with,
    names,
    processes_with,
)
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job

COMMIT, OTHER = "1" * 40, "2" * 40
BLOB = "a" * 64


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"vllm serve org/tiny --revision {COMMIT}", True),
        (f"vllm serve /opt/models/models--org--tiny/snapshots/{COMMIT}", True),
        (f"vllm serve /other/name/for/{COMMIT}", True),
        ("vllm serve org/tiny", True),
        ("vllm serve 'org/tiny' --revision main", True),
        ("The model is org/tiny.", True),
        ("ls /opt/models/models--org--tiny/snapshots/*", True),
        (f"vllm serve org/tiny --revision {OTHER}", False),
        (f"vllm serve org/tiny --revision {OTHER}; cat {COMMIT}", True),
        # Pinned, but to what is not here: it may have been a slip.
        (f"vllm serve org/tiny --revision {'3' * 40}", True),
        ("vllm serve org/tiny-2", False),
        ("vllm serve org/tiny.v2", False),
        ("vllm serve my-org/tiny", False),
        ("ls models--org--tiny--more models--org--tiny2", False),
        ("vllm serve org/other", False),
        ("", False),
    ],
)
def test_names(text: str, expected: bool) -> None:
    assert names(text, "org/tiny", COMMIT, [OTHER]) is expected


class FakeSlurm:
    """A client that knows these jobs and what they run."""

    def __init__(self, jobs: list[Job], scripts: dict[int, str | None], recorded: str = "") -> None:
        self._jobs, self._scripts, self._recorded = jobs, scripts, recorded
        self.user: str | None = "never asked"
        self.read: list[int] = []

    def jobs_named(self, names: Sequence[str], user: str | None) -> list[Job]:
        self.user = user
        return self._jobs

    def recorded(self, job_id: int) -> Job | None:
        return job(job_id, submit_line=self._recorded) if self._recorded else None

    def batch_script(self, job_id: int) -> str | None:
        self.read.append(job_id)
        return self._scripts[job_id]


def job(job_id: int, state: str = "RUNNING", nodes: str = "gpu1", submit_line: str = "", group: int = 0) -> Job:
    return Job(
        job_id=job_id, name="serve", user="vllm", state=state, nodes=nodes, submit_line=submit_line, group_id=group
    )


USES = f"#!/bin/sh\nvllm serve org/tiny --revision {COMMIT}\n"
OTHERWISE, ARGUMENTS = "#!/bin/sh\nsleep 1\n", '#!/bin/sh\nvllm serve "$1"\n'
NO_SCRIPT, NOT_SHOWN = "", None
FOUND = ["job 1 (serve of vllm, RUNNING on gpu1)"]
PERHAPS = ["perhaps job 1 (serve of vllm, RUNNING on gpu1), whose script Slurm does not show"]


@pytest.mark.parametrize(
    ("one", "script", "recorded", "found"),
    [
        pytest.param(job(1), USES, "", FOUND, id="running"),
        pytest.param(job(1, "PENDING", ""), USES, "", ["job 1 (serve of vllm, PENDING)"], id="waiting"),
        pytest.param(job(1, "CANCELLED"), USES, "", [], id="ended"),
        pytest.param(job(1), OTHERWISE, "", [], id="another-job"),
        pytest.param(job(1, submit_line="sbatch x.sh org/tiny"), ARGUMENTS, "", FOUND, id="argument"),
        pytest.param(job(1), ARGUMENTS, "sbatch x.sh org/tiny", FOUND, id="argument-from-accounting"),
        pytest.param(job(1), ARGUMENTS, "", [], id="argument-that-nobody-knows"),
        pytest.param(job(1, submit_line="sbatch org/tiny.sh org/tiny"), OTHERWISE, "", [], id="takes-no-argument"),
        pytest.param(job(1, submit_line="srun vllm serve org/tiny"), NO_SCRIPT, "", FOUND, id="srun"),
        pytest.param(job(1, submit_line="salloc"), NO_SCRIPT, "", [], id="salloc"),
        pytest.param(job(1), NOT_SHOWN, "", PERHAPS, id="not-shown"),
    ],
)
def test_jobs(one: Job, script: str | None, recorded: str, found: list[str]) -> None:
    slurm = FakeSlurm([one], {1: script}, recorded)
    assert jobs_with(Queue(slurm), None, "org/tiny", COMMIT, [OTHER]) == found
    assert slurm.user is None


def test_an_array_is_one_job() -> None:
    slurm = FakeSlurm([job(8, group=7), job(9, group=7)], {8: USES, 9: USES})
    assert len(jobs_with(Queue(slurm), "vllm", "org/tiny", COMMIT, [])) == 1
    assert (len(slurm.read), slurm.user) == (1, "vllm")


HOLDER = """
import mmap, sys
with open(sys.argv[1], "rb") as handle:
    if sys.argv[2] == "mapped":
        kept = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        handle.close()
    print("open", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("how", ["open", "mapped"])
def test_a_process_with_a_blob_open_is_seen_through_the_link(tmp_path: Path, how: str) -> None:
    cache, other = tmp_path / "cache" / "blobs" / BLOB, tmp_path / "other" / "blobs" / BLOB
    for blob in (cache, other):
        blob.parent.mkdir(parents=True)
        blob.write_bytes(b"x" * mmap.PAGESIZE)
    (tmp_path / "model.safetensors").symlink_to(cache)
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "model.safetensors"), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "open\n"
        found = processes_with([cache])
        elsewhere = processes_with([other])
        holder.communicate()
    assert [text.split(" (")[0] for text in found] == [f"process {holder.pid}"]
    assert elsewhere == []
    assert processes_with([cache]) == []


def test_this_process_does_not_count(tmp_path: Path) -> None:
    with (tmp_path / BLOB).open("wb"):
        assert processes_with([tmp_path / BLOB]) == []


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc: 1 shows nothing, 2 has the blob open, 3 has it mapped, 4 one of the same name."""
    blob, other = tmp_path / "blobs" / BLOB, tmp_path / "other" / BLOB
    for path in (blob, other):
        path.parent.mkdir()
        path.write_bytes(b"x")
    proc = tmp_path / "proc"
    for name in ("1", "2/fd", "3/map_files", "4/fd", "self"):
        (proc / name).mkdir(parents=True)
    for number in "234":
        (proc / number / "comm").write_text("vllm\n")
    (proc / "2/fd/9").symlink_to(blob)
    (proc / "3/maps").write_text(f"7f00-7f01 r--s 00000000 fe:00 7 /blobs/{BLOB}\n7f01-7f02 rw-p 00000000 00:00 0\n")
    (proc / "3/map_files/7f00-7f01").symlink_to(blob)
    (proc / "4/fd/9").symlink_to(other)
    return proc


def test_who_has_it_open(proc: Path) -> None:
    blob = proc.parent / "blobs" / BLOB
    assert processes_with([blob], proc) == ["process 2 (vllm) of this host", "process 3 (vllm) of this host"]
    assert processes_with([blob.with_name("b" * 64)], proc) == []


def test_what_cannot_be_told_counts(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = Path.stat

    def forbidden(path: Path, **options: bool) -> os.stat_result:
        if "map_files" in path.parts:
            raise PermissionError
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", forbidden)
    blob = proc.parent / "other" / BLOB
    assert processes_with([blob], proc) == ["process 3 (vllm) of this host", "process 4 (vllm) of this host"]
