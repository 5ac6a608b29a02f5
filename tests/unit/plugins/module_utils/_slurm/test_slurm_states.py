# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._slurm import states
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import expand_path


@pytest.mark.parametrize(
    ("state", "flags", "phase", "live"),
    [
        ("PENDING", (), "queued", True),
        ("PENDING", ("REQUEUED",), "queued", True),
        ("PENDING", ("COMPLETING",), "queued", True),
        ("SUSPENDED", (), "queued", True),
        ("SPECIAL_EXIT", (), "queued", True),
        ("RUNNING", ("CONFIGURING",), "starting", True),
        ("CONFIGURING", (), "starting", True),
        ("RUNNING", ("POWER_UP_NODE",), "starting", True),
        ("RUNNING", (), "running", True),
        ("RUNNING", ("SIGNALING",), "running", True),
        ("RESIZING", (), "running", True),
        ("COMPLETING", (), "ending", True),
        ("COMPLETED", (), "ended", False),
        ("COMPLETED", ("COMPLETING",), "ended", False),
        ("CANCELLED", (), "ended", False),
        ("NODE_FAIL", (), "ended", False),
        ("NODE_FAIL", ("REQUEUED",), "queued", True),
        ("OUT_OF_MEMORY", (), "ended", False),
        ("BRAND_NEW_STATE", (), "running", True),
    ],
)
def test_phase(state: str, flags: tuple[str, ...], phase: str, live: bool) -> None:
    assert (states.phase(state, flags), states.is_live(state, flags)) == (phase, live)


@pytest.mark.parametrize(
    ("state", "exit_code", "signal", "words"),
    [
        ("COMPLETED", 0, None, "COMPLETED (exit code 0)"),
        ("FAILED", 1, None, "FAILED (exit code 1)"),
        ("FAILED", 137, None, "FAILED (exit code 137, that is 128 + signal 9 (SIGKILL))"),
        ("FAILED", 0, 11, "FAILED (killed by signal 11 (SIGSEGV))"),
        ("FAILED", 0, 99, "FAILED (killed by signal 99)"),
        ("CANCELLED", 0, 15, "CANCELLED (it was cancelled; killed by signal 15 (SIGTERM))"),
        ("TIMEOUT", 0, 1, "TIMEOUT (it reached its time limit; killed by signal 1 (SIGHUP))"),
        ("NODE_FAIL", 0, None, "NODE_FAIL (a node it ran on failed)"),
        ("OUT_OF_MEMORY", 0, 125, "OUT_OF_MEMORY (it used more memory than it was given; killed by signal 125)"),
        ("FAILED", None, None, "FAILED"),
    ],
)
def test_ending_in_words(state: str, exit_code: int | None, signal: int | None, words: str) -> None:
    assert states.ending_in_words(state, exit_code, signal) == words


@pytest.mark.parametrize(
    ("path", "expanded"),
    [
        ("", ""),
        ("slurm-%j.out", "/srv/slurm-42.out"),
        ("/logs/%x-%j.out", "/logs/phi3-42.out"),
        ("/logs/%u/%N/%8j.log", "/logs/vllm/gpu1/00000042.log"),
        ("/logs/%A_%a-%n-%t.out", "/logs/42_4294967294-0-0.out"),
        ("/logs/100%%.out", "/logs/100%.out"),
        ("/logs/%j\\.out", "/logs/%j.out"),
        ("/dev/null", "/dev/null"),
        ("../%q.out", "/%q.out"),
    ],
)
def test_expand_path(path: str, expanded: str) -> None:
    assert (
        expand_path(path, job_id=42, name="phi3", user="vllm", chdir="/srv", batch_host="gpu1.example.org") == expanded
    )


@pytest.mark.parametrize(
    ("state", "reason", "hopeless"),
    [
        ("PENDING", "DependencyNeverSatisfied", True),
        ("PENDING", "launch failed requeued held", True),
        ("PENDING", "launch_failed_requeued_held", True),
        ("PENDING", "Resources", False),
        ("PENDING", "job requeued in held state", False),
        ("RUNNING", "InvalidQOS", False),
    ],
)
def test_hopeless(state: str, reason: str, hopeless: bool) -> None:
    assert states.hopeless(state, reason) == hopeless
