# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._hub.users import (
    has_script,
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


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sbatch x.sh", True),
        ("/usr/bin/sbatch --parsable x", True),
        ("srun hostname", False),
        ("salloc", False),
        ("", True),
    ],
)
def test_has_script(line: str, expected: bool) -> None:
    assert has_script(line) is expected


class FakeQueue:
    """Slurm as far as it is asked."""

    def __init__(self, scripts: dict[int, str | None], jobs: list[Job]) -> None:
        self.scripts, self.jobs, self.read = scripts, jobs, list[int]()
        self.user: str | None = "never asked"

    def jobs_named(self, name: str | None, user: str | None) -> list[Job]:
        self.user = user
        return self.jobs

    def batch_script(self, job_id: int) -> str | None:
        self.read.append(job_id)
        return self.scripts.get(job_id)


def job(
    job_id: int, state: str = "RUNNING", nodes: str = "gpu1", submit_line: str = "sbatch x.sh", group: int = 0
) -> Job:
    return Job(
        job_id=job_id, name="serve", user="vllm", state=state, nodes=nodes, submit_line=submit_line, group_id=group
    )


USES, OTHERWISE = f"#!/bin/sh\nvllm serve org/tiny --revision {COMMIT}\n", "#!/bin/sh\nsleep 1\n"


@pytest.mark.parametrize(
    ("scripts", "jobs", "found"),
    [
        pytest.param({1: USES}, [job(1)], ["job 1 (serve of vllm, RUNNING on gpu1)"], id="running"),
        pytest.param({1: USES}, [job(1, "PENDING", "")], ["job 1 (serve of vllm, PENDING)"], id="waiting"),
        pytest.param({1: USES}, [job(1, "CANCELLED")], [], id="ended"),
        pytest.param({1: OTHERWISE}, [job(1)], [], id="another-job"),
        pytest.param(
            {1: OTHERWISE},
            [job(1, submit_line="sbatch x.sh org/tiny")],
            ["job 1 (serve of vllm, RUNNING on gpu1)"],
            id="argument-of-the-submission",
        ),
        pytest.param(
            {},
            [job(1)],
            ["perhaps job 1 (serve of vllm, RUNNING on gpu1), whose script Slurm does not show to this user"],
            id="unknown-is-not-no",
        ),
        pytest.param({}, [job(1, submit_line="srun hostname")], [], id="no-script"),
        pytest.param(
            {}, [job(1, submit_line="srun vllm serve org/tiny")], ["job 1 (serve of vllm, RUNNING on gpu1)"], id="srun"
        ),
    ],
)
def test_jobs(scripts: dict[int, str | None], jobs: list[Job], found: list[str]) -> None:
    queue = FakeQueue(scripts, jobs)
    assert jobs_with(queue, None, "org/tiny", COMMIT, [OTHER]) == found
    assert queue.user is None


def test_an_array_is_one_job() -> None:
    queue = FakeQueue({8: USES, 9: USES}, [job(8, group=7), job(9, group=7)])
    assert len(jobs_with(queue, "vllm", "org/tiny", COMMIT, [])) == 1
    assert (len(queue.read), queue.user) == (1, "vllm")


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
    (tmp_path / BLOB).write_bytes(b"x" * mmap.PAGESIZE)
    (tmp_path / "model.safetensors").symlink_to(BLOB)
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "model.safetensors"), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "open\n"
        found = processes_with([BLOB])
        (tmp_path / BLOB).unlink()
        still = processes_with([BLOB])
        holder.communicate()
    assert [text.split(" (")[0] for text in found] == [f"process {holder.pid}"]
    assert still == found
    assert processes_with([BLOB]) == []


def test_this_process_does_not_count(tmp_path: Path) -> None:
    with (tmp_path / BLOB).open("wb"):
        assert processes_with([BLOB]) == []


def test_processes_that_show_nothing(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "self").mkdir()
    (tmp_path / "2" / "fd").mkdir(parents=True)
    os.symlink(f"/x/{BLOB} (deleted)", tmp_path / "2" / "fd" / "3")
    (tmp_path / "2" / "comm").write_text("vllm\n")
    assert processes_with([BLOB], tmp_path) == ["process 2 (vllm) of this host"]
