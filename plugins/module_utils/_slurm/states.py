# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Slurm's words for a job's state mean. Pure."""

from __future__ import annotations

import signal

# A job is in one base state; flags say more. The text commands print a flag in the place of the base state.
ENDED = frozenset(
    {
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    }
)
WAITING_FLAGS = frozenset({"REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"})
_STARTING_FLAGS = frozenset({"CONFIGURING", "POWER_UP_NODE"})

QUEUED, STARTING, RUNNING, ENDING, GONE = "queued", "starting", "running", "ending", "ended"

# These reasons never go away by waiting: somebody has to change the job or the cluster.
HOPELESS_REASONS = frozenset(
    {
        "BadConstraints",
        "DependencyNeverSatisfied",
        "InvalidAccount",
        "InvalidQOS",
        "JobLaunchFailure",
        "launch_failed_requeued_held",
        "user_env_retrieval_failed_requeued_held",
    }
)

_ENDINGS = {
    "BOOT_FAIL": "its nodes did not boot",
    "CANCELLED": "it was cancelled",
    "DEADLINE": "its deadline passed",
    "NODE_FAIL": "a node it ran on failed",
    "OUT_OF_MEMORY": "it used more memory than it was given",
    "PREEMPTED": "another job took its place",
    "REVOKED": "another cluster took it",
    "TIMEOUT": "it reached its time limit",
}
_NEXT_STEPS = {
    "BOOT_FAIL": "Look at the nodes with `sinfo -R`.",
    "COMPLETED": "A job that ends by itself is waited for with state=completed.",
    "CANCELLED": "If that was not meant, run this task again.",
    "NODE_FAIL": "Look at the node with `sinfo -R`, then run this task again.",
    "OUT_OF_MEMORY": "Give it more memory (`mem` in options) or let it use less, then run this task again.",
    "PREEMPTED": "Run this task again, or choose a partition or QOS that is not preempted.",
    "TIMEOUT": "Give it more time (`time` in options), then run this task again.",
}

# No signal anybody sent: slurmd could not set the job up.
_NOT_SET_UP = 53


def phase(state: str, flags: tuple[str, ...] = ()) -> str:
    """Where in its life a job is: one of queued, starting, running, ending, ended."""
    words = {state, *flags}
    # A job on its way back into the queue passes through COMPLETING, so this comes first.
    if state in {"PENDING", "SUSPENDED", "STOPPED"} or words & WAITING_FLAGS:
        return QUEUED
    if state in ENDED:
        return GONE
    if "COMPLETING" in words or "STAGE_OUT" in words:
        return ENDING
    return STARTING if words & _STARTING_FLAGS else RUNNING


def is_live(state: str, flags: tuple[str, ...] = ()) -> bool:
    """Whether the job runs or may still run.

    A bare COMPLETING hides whether the job ends or goes back into the queue; what is not known to be over is live.
    """
    return phase(state, flags) != GONE


def hopeless(state: str, reason: str) -> bool:
    # squeue writes some of them with spaces.
    return state == "PENDING" and reason.replace(" ", "_") in HOPELESS_REASONS


def signal_in_words(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def ending_in_words(state: str, exit_code: int | None, signal_number: int | None) -> str:
    """How a job ended, as the end of the sentence "it ended as ..."."""
    details = [_ENDINGS[state]] if state in _ENDINGS else []
    if signal_number == _NOT_SET_UP:
        details.append("signal 53, by which Slurm says that it could not start it: is the folder of its output there?")
    elif signal_number:
        details.append(f"killed by {signal_in_words(signal_number)}")
    elif exit_code is not None and (exit_code or not details):
        # A shell reports a child killed by a signal as 128 + its number.
        shell = f", that is 128 + {signal_in_words(exit_code - 128)}" if 128 < exit_code <= 128 + 64 else ""
        details.append(f"exit code {exit_code}{shell}")
    return f"{state} ({'; '.join(details)})" if details else state


def next_step(state: str) -> str:
    return _NEXT_STEPS.get(state, "Correct the cause, then run this task again.")
