# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What faults injected into real clusters (tests/faults) taught, each as a small case."""

from __future__ import annotations

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._slurm import parse, states
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.errors import JobEndedError, RefusedError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.wait import SECONDS_TO_SAVE, JobWatch
from ansible_collections.llmops.cluster.tests.unit.plugins.module_utils._slurm.fake_slurm import FakeSlurm
from ansible_collections.llmops.cluster.tests.unit.plugins.module_utils._slurm.test_slurm_manage import (
    COMPLETES,
    FAILS,
    NAME,
    STARTS_AFTER_9,
    absent,
    comment,
    present,
)


@pytest.mark.parametrize("seconds", [1, 3, 6])
@pytest.mark.parametrize("state", ["submitted", "running"])
def test_a_job_that_a_killed_controller_forgot_is_submitted_again(state: str, seconds: float) -> None:
    slurm = FakeSlurm()
    slurm.killed_at = slurm.clock + seconds
    outcome = present(slurm, state)
    assert outcome.changed
    assert len(slurm.live()) == 1
    assert len(slurm.called("sbatch")) == 2


def test_accepted_does_not_wait_and_the_next_run_makes_up_for_a_loss() -> None:
    slurm = FakeSlurm()
    begin = slurm.clock
    slurm.killed_at = begin + 1
    assert present(slurm, until_saved=False).changed
    assert slurm.clock == begin
    slurm.clock += 2
    assert present(slurm, until_saved=False).changed
    assert len(slurm.live()) == 1
    assert len(slurm.called("sbatch")) == 2


def test_accepted_still_sees_that_a_replaced_job_is_gone_for_good() -> None:
    """It would come back beside the new one, which the controller may have written down already."""
    slurm = FakeSlurm()
    slurm.add(NAME, comment())
    slurm.save()
    begin = slurm.clock
    assert present(slurm, until_saved=False, options={"gres": "gpu:2"}).changed
    assert slurm.clock - begin >= SECONDS_TO_SAVE


def test_a_controller_that_saved_the_job_before_it_died_gets_no_second_one() -> None:
    slurm = FakeSlurm()
    slurm.killed_at = slurm.clock + 3
    slurm.saved = [(slurm.add(NAME, comment()), False)]
    assert present(slurm).changed is False
    assert slurm.called("sbatch") == []


def test_a_job_that_ended_and_was_forgotten_was_not_lost() -> None:
    """No accounting, and a controller that forgets at once but was not started anew."""
    slurm = FakeSlurm(life=COMPLETES, forgets_ended=True, has_accounting=False)
    with pytest.raises(JobEndedError, match="how it ended cannot be told"):
        present(slurm, "completed")
    assert len(slurm.jobs) == 1


def test_a_cancel_that_a_killed_controller_forgot_is_given_again() -> None:
    slurm = FakeSlurm()
    slurm.add(NAME, comment())
    slurm.save()
    slurm.killed_at = slurm.clock + 3
    assert absent(slurm).changed
    assert slurm.live() == []
    assert len(slurm.called("scancel")) == 2


def test_a_cancel_that_was_not_heard_is_given_again_soon() -> None:
    slurm = FakeSlurm(failing_cancels=2)
    slurm.add(NAME, comment())
    assert absent(slurm).changed
    assert slurm.live() == []
    assert slurm.clock < 1000 + 7 + 3


def test_an_empty_answer_of_squeue_beside_a_live_job_is_not_believed() -> None:
    slurm = FakeSlurm()
    present(slurm)
    slurm.blind = True
    assert present(slurm).changed is False
    assert len(slurm.jobs) == 1


@pytest.mark.parametrize("fault", ["", "taken but timed out", "taken but unreadable"])
@pytest.mark.parametrize("has_accounting", [True, False])
def test_one_job_although_squeue_shows_nothing(fault: str, has_accounting: bool) -> None:
    if fault and not has_accounting:
        pytest.skip("nobody is left who could know of the job")
    slurm = FakeSlurm(blind=True, submit_faults=[fault], has_accounting=has_accounting)
    outcome = present(slurm)
    assert outcome.job
    assert outcome.job.job_id == 1
    assert len(slurm.jobs) == 1


def test_a_job_that_squeue_does_not_show_is_waited_for_all_the_same() -> None:
    slurm = FakeSlurm(blind=True, life=STARTS_AFTER_9)
    outcome = present(slurm, "running")
    assert outcome.job
    assert outcome.job.state == "RUNNING"
    assert slurm.clock >= 1009


def test_a_job_that_squeue_does_not_show_is_cancelled() -> None:
    slurm = FakeSlurm(blind=True)
    slurm.add(NAME, comment())
    assert absent(slurm).changed
    assert slurm.live() == []


def test_an_sbatch_that_was_killed_has_refused_nothing() -> None:
    slurm = FakeSlurm(submit_faults=["killed"])
    assert present(slurm).changed
    assert len(slurm.live()) == 1


def test_an_option_that_sbatch_does_not_know_is_refused_at_once() -> None:
    """Found before the controller is asked, with an exit code of its own."""
    slurm = FakeSlurm(submit_faults=["unknown option"])
    with pytest.raises(RefusedError, match="unrecognized option '--partion=gpu'"):
        present(slurm)
    assert len(slurm.called("sbatch")) == 1


def test_an_id_that_is_given_again_is_a_new_job() -> None:
    """The controller forgot the job that failed, and gives its id to the next one."""
    slurm = FakeSlurm(life=FAILS)
    slurm.add(NAME, comment(), life=FAILS, submitted=slurm.clock - 60)
    slurm.submit_faults = ["taken but timed out"]
    slurm.next_id = 1
    present(slurm)
    assert len(slurm.called("sbatch")) == 1


def test_a_replaced_job_is_gone_for_good_before_the_new_one_comes() -> None:
    slurm = FakeSlurm()
    present(slurm)
    slurm.save()
    slurm.killed_at = slurm.clock + 3
    present(slurm, args=["other"])
    assert [job.comment for job in slurm.live()] == [comment(args=["other"])]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("BOOT_TIME               = 1763696893\nClusterName = lab\n", "1763696893", id="seconds"),
        pytest.param("BOOT_TIME               = 2026-11-21T03:28:13\n", "2026-11-21T03:28:13", id="a-date"),
        pytest.param("ClusterName = lab\n", "", id="not-told"),
    ],
)
def test_boot_time(text: str, told: str) -> None:
    assert parse.boot_time(text) == told


@pytest.mark.parametrize(
    ("files", "seconds"),
    [
        pytest.param([(1000.0, b"..llmops:a:01.."), (1002.0, b"..llmops:a:01..llmops:a:01..")], 2.0, id="seen-in-it"),
        pytest.param([(1000.0, b"..llmops:a:01..")], SECONDS_TO_SAVE, id="never-seen"),
        pytest.param([], SECONDS_TO_SAVE, id="not-readable"),
    ],
)
def test_saved_is_what_stands_in_the_controllers_file(files: list[tuple[float, bytes]], seconds: float) -> None:
    """One job of this key is over and still in the file, so it takes a second one."""
    slurm = FakeSlurm()
    client = slurm.client()

    def current() -> tuple[float, bytes] | None:
        return next(((when, text) for when, text in reversed(files) if when <= slurm.clock), None)

    client.state_saved_at = lambda: found[0] if (found := current()) else None  # type: ignore[method-assign]
    client.saved_state = lambda: found[1] if (found := current()) else b""  # type: ignore[method-assign]
    watch = JobWatch(client, {}, 2.0, clock=lambda: slurm.clock, sleep=slurm.sleep, now=lambda: slurm.clock)
    watch.until_saved({"llmops:a:01": 2}, since=1000.0)
    assert slurm.clock - 1000.0 == pytest.approx(seconds, abs=0.11)


def test_a_job_that_slurm_could_not_set_up_was_not_killed() -> None:
    assert states.ending_in_words("FAILED", 0, 53) == (
        "FAILED (signal 53, by which Slurm says that it could not start it: is the folder of its output there?)"
    )
