# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.client import SlurmClient
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.errors import (
    ChangeRefusedError,
    CommandError,
    JobEndedError,
    JobTimeoutError,
    OutcomeUnknownError,
    RefusedError,
)
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.manage import JobManager
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.outcome import Outcome
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.report import readable_start
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.run import Completed
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.spec import JobSpec, build_spec
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.submit import AT_ONCE, Order
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.wait import JobWatch
from ansible_collections.llmops.cluster.tests.unit.plugins.module_utils._slurm.fake_slurm import (
    ACCOUNT,
    RUNS_AT_ONCE,
    TOOLS,
    FakeSlurm,
    Life,
)

NAME = "vllm-serve-phi3"
PATH = "/home/vllm/vllm-jobs/serve_phi3.sh"
STARTS_AFTER_9: Life = [(9, {"state": ["RUNNING"], "nodes": "gpu1", "batch_host": "gpu1"})]
COMPLETES: Life = [
    (0, {"state": ["RUNNING"], "nodes": "gpu1", "batch_host": "gpu1"}),
    (5, {"state": ["COMPLETED"]}),
]
FAILS: Life = [
    (0, {"state": ["RUNNING"], "nodes": "gpu1", "batch_host": "gpu1"}),
    (5, {"state": ["FAILED"], "exit_code": 1, "reason": "NonZeroExitCode"}),
]
COMPLETED_BEFORE: Life = [(0, {"state": ["COMPLETED"]})]


def spec(**changes: t.Any) -> JobSpec:
    wanted = {
        "name": NAME,
        "user": "vllm",
        "script": "#!/bin/bash\nvllm serve\n",
        "script_path": PATH,
        "chdir": "/home/vllm",
        "options": {"gres": "gpu:1", "time": "1:00:00"},
    }
    return build_spec(**{**wanted, **changes})


def comment(**changes: t.Any) -> str:
    wanted = spec(**changes)
    return wanted.comment(wanted.key("lab"))


def manager(slurm: FakeSlurm, *, check_mode: bool = False, **limits: float) -> JobManager:
    client = slurm.client()
    times: dict[str, float | None] = {"queue_timeout": 60, "start_timeout": 60, "run_timeout": None, **limits}
    watch = JobWatch(client, times, 2.0, clock=lambda: slurm.clock, sleep=slurm.sleep, now=lambda: slurm.clock)
    return JobManager(client, watch, check_mode, clock=lambda: slurm.clock, sleep=slurm.sleep, now=lambda: slurm.clock)


def present(
    slurm: FakeSlurm,
    state: str = "submitted",
    *,
    on_change: str = "replace",
    check_mode: bool = False,
    limits: dict[str, float] | None = None,
    until_saved: bool = True,
    **changes: t.Any,
) -> Outcome:
    wanted = spec(**changes)
    run = manager(slurm, check_mode=check_mode, **(limits or {}))
    run.until_saved = until_saved
    (outcome,) = run.present([Order(wanted, wanted.key("lab"), PATH)], state=state, on_change=on_change)
    if outcome.error:
        raise outcome.error
    return outcome


def absent(slurm: FakeSlurm, *, check_mode: bool = False) -> Outcome:
    (outcome,) = manager(slurm, check_mode=check_mode).absent([NAME], "vllm")
    return outcome


def test_a_second_run_changes_nothing() -> None:
    slurm = FakeSlurm()
    first = present(slurm)
    second = present(slurm)
    assert (first.changed, second.changed) == (True, False)
    assert first.job
    assert second.job
    assert first.job.job_id == second.job.job_id == 1
    assert second.diff is None
    assert second.message == "Job 1 (vllm-serve-phi3) on gpu1 is as wanted."
    assert len(slurm.jobs) == 1


def test_the_job_gets_its_environment_and_no_value_of_it_shows_in_a_command() -> None:
    slurm = FakeSlurm()
    present(slurm, environment={"VLLM_API_KEY": "very-secret", "OMP_NUM_THREADS": 1})
    got = slurm.jobs[0].environment
    assert got["VLLM_API_KEY"] == "very-secret"
    assert got["OMP_NUM_THREADS"] == "1"
    assert got["HOME"] == "/home/vllm"
    assert not any("very-secret" in word for argv in slurm.calls for word in argv)


@pytest.mark.parametrize(
    ("faults", "sbatch_calls"),
    [
        pytest.param(["taken but timed out"], 1, id="sbatch-timed-out-the-controller-has-it"),
        pytest.param(["taken but unreadable"], 1, id="answer-cannot-be-read"),
        pytest.param(["timed out"], 2, id="sbatch-timed-out-nothing-came-of-it"),
        pytest.param(["timed out", "taken but timed out"], 2, id="twice-unclear"),
        pytest.param(["lost after the answer"], 2, id="acknowledged-and-lost"),
    ],
)
def test_one_job_whatever_sbatch_says(faults: list[str], sbatch_calls: int) -> None:
    slurm = FakeSlurm(submit_faults=faults)
    outcome = present(slurm)
    assert outcome.changed
    assert len(slurm.live()) == 1
    assert len(slurm.called("sbatch")) == sbatch_calls


def test_a_job_that_was_over_before_the_look_counts_as_made() -> None:
    slurm = FakeSlurm(life=COMPLETED_BEFORE, submit_faults=["taken but timed out"])
    present(slurm)
    assert len(slurm.jobs) == 1


def test_unclear_three_times_is_an_error_that_says_what_to_do() -> None:
    slurm = FakeSlurm(submit_faults=["timed out"] * 3)
    key = spec().key("lab")
    with pytest.raises(OutcomeUnknownError) as caught:
        present(slurm)
    assert caught.value.message == (
        "Submitting the job vllm-serve-phi3 of vllm failed: 3 times there was no clear answer (last: Batch job "
        f"submission failed: Socket timed out on send/recv operation), and no job with the key {key} is to be seen. "
        "Look at the controller with `scontrol ping`, then run this task again: it looks for the job first."
    )


def test_a_refusal_is_not_tried_again() -> None:
    slurm = FakeSlurm(refusal="invalid partition specified: gpux")
    with pytest.raises(RefusedError) as caught:
        present(slurm)
    assert caught.value.message == (
        "Submitting the job vllm-serve-phi3 of vllm failed: invalid partition specified: gpux. "
        "Correct its options or its script, then run this task again."
    )
    assert len(slurm.called("sbatch")) == 1


def test_a_controller_that_is_down_for_seconds_is_waited_for() -> None:
    slurm = FakeSlurm(down_until=1030.0)
    assert present(slurm).changed
    assert slurm.clock >= 1030.0


def test_a_controller_that_stays_down_is_an_error() -> None:
    slurm = FakeSlurm(down_until=9999.0)
    with pytest.raises(CommandError) as caught:
        present(slurm)
    assert caught.value.message == (
        "Reading the cluster's configuration failed: scontrol gave no answer for 120 seconds (last: "
        "slurm_load_jobs error: Socket timed out on send/recv operation). Look at the controller with "
        "`scontrol ping` and at munge on this host, then run this task again."
    )
    assert slurm.jobs == []


@pytest.mark.parametrize(
    ("patience", "one_takes", "most"), [(30.0, 90.0, 90.0), (120.0, 90.0, 181.0), (30.0, 10.0, 40.0)]
)
def test_answers_that_take_long_count_for_patience(patience: float, one_takes: float, most: float) -> None:
    clock = 0.0

    def sleep(seconds: float) -> None:
        nonlocal clock
        clock += seconds

    def frozen(argv: list[str], env: t.Mapping[str, str], cwd: str = "/") -> Completed:
        sleep(one_takes)
        return Completed(tuple(argv), None, "", "")

    client = SlurmClient(TOOLS, ACCOUNT, {}, runner=frozen, patience=patience, clock=lambda: clock, sleep=sleep)
    with pytest.raises(CommandError) as caught:
        client.jobs_listed([NAME], "vllm")
    assert patience <= clock <= most
    assert f"gave no answer for {clock:.0f} seconds" in caught.value.message


def test_without_json_the_text_answers_do() -> None:
    slurm = FakeSlurm(has_json=False)
    first = present(slurm, "running")
    assert present(slurm, "running").changed is False
    assert first.job
    assert first.job.stdout == "/home/vllm/slurm-1.out"
    assert sum("--json" in argv for argv in slurm.calls) == 2


def test_another_specification_replaces_the_job() -> None:
    slurm = FakeSlurm()
    present(slurm)
    outcome = present(slurm, options={"gres": "gpu:2", "time": "1:00:00"})
    assert outcome.changed
    assert outcome.replaced_job_id == 1
    assert [job.job_id for job in slurm.live()] == [2]
    assert outcome.message == "Job 1 (vllm-serve-phi3) on gpu1 differs in script, options and was replaced."


def test_what_slurmctld_turns_away_is_refused_although_it_remembers_a_job() -> None:
    slurm = FakeSlurm(submit_faults=["turned away", "turned away"])
    for _again in range(2):
        with pytest.raises(RefusedError) as caught:
            present(slurm)
        assert caught.value.message == (
            "Submitting the job vllm-serve-phi3 of vllm failed: Memory specification can not be satisfied; Batch job "
            "submission failed: Requested node configuration is not available. Correct its options or its script, then "
            "run this task again."
        )
    assert len(slurm.called("sbatch")) == len(slurm.jobs) == 2
    assert slurm.live() == []
    # Refused under another's eyes: the answer got lost, the record is there, and the next answer says it.
    slurm.submit_faults = ["timed out", "turned away"]
    with pytest.raises(RefusedError):
        present(slurm)


def test_a_job_of_a_list_that_is_turned_away_is_no_success() -> None:
    slurm = FakeSlurm(submit_faults=["", "turned away"])
    good, bad = present_all(slurm, ["good", "bad"], at_once=1)
    assert (good.changed, good.error) == (True, None)
    assert isinstance(bad.error, RefusedError)


def test_a_job_is_not_taken_down_for_one_that_slurm_refuses() -> None:
    slurm = FakeSlurm()
    present(slurm)
    slurm.refusal = "allocation failure: Requested node configuration is not available"
    with pytest.raises(RefusedError) as caught:
        present(slurm, options={"gres": "gpu:99"})
    assert caught.value.message == (
        "Testing the submission of the job vllm-serve-phi3 of vllm failed: allocation failure: Requested node "
        "configuration is not available. No job was changed. Correct its options or its script, then run this task "
        "again."
    )
    assert [job.job_id for job in slurm.live()] == [1]


def test_a_controller_that_does_not_know_its_nodes_yet_refuses_nothing() -> None:
    slurm = FakeSlurm()
    present(slurm)
    slurm.nodes_register_at = slurm.clock + 5
    assert present(slurm, options={"gres": "gpu:2"}).changed
    assert [job.job_id for job in slurm.live()] == [2]


def test_on_change_keep_leaves_the_job() -> None:
    slurm = FakeSlurm()
    present(slurm)
    outcome = present(slurm, on_change="keep", options={"gres": "gpu:2"})
    assert not outcome.changed
    assert outcome.job
    assert outcome.job.job_id == 1
    assert [job.job_id for job in slurm.live()] == [1]


def test_on_change_fail_names_the_difference() -> None:
    slurm = FakeSlurm()
    present(slurm)
    with pytest.raises(ChangeRefusedError) as caught:
        present(slurm, on_change="fail", options={"gres": "gpu:2", "time": "1:00:00"})
    assert caught.value.message == (
        "Changing job 1 (vllm-serve-phi3) on gpu1 failed: it is RUNNING and differs in script, options, and "
        "on_change is fail. Set on_change to replace (cancel it and submit anew) or keep (leave it), or cancel it "
        "with state=absent."
    )
    assert "--gres=gpu:1" in caught.value.facts["diff"]["before"]
    assert "--gres=gpu:2" in caught.value.facts["diff"]["after"]


def test_a_job_we_did_not_make_is_reported_and_left_alone() -> None:
    slurm = FakeSlurm()
    slurm.add(NAME, "")
    outcome = present(slurm)
    assert outcome.changed
    assert [job.job_id for job in outcome.foreign] == [1]
    assert outcome.warnings == [
        "There are jobs of the same name and user that this module did not make; they are left alone: 1."
    ]
    assert absent(slurm).cancelled[0].job_id == 2
    assert [job.job_id for job in slurm.live()] == [1]


def test_of_two_jobs_with_one_key_the_oldest_running_one_is_kept() -> None:
    slurm = FakeSlurm()
    slurm.add(NAME, comment(), life=[])
    slurm.clock += 1
    slurm.add(NAME, comment())
    slurm.clock += 1
    slurm.add(NAME, comment())
    outcome = present(slurm)
    assert outcome.changed
    assert outcome.job
    assert outcome.job.job_id == 2
    assert [job.job_id for job in slurm.live()] == [2]
    assert outcome.warnings == ["More than one job of this name was live; job 2 is kept, cancelled: 3, 1."]


def test_the_tasks_of_an_array_are_no_doubles() -> None:
    slurm = FakeSlurm()
    slurm.add(NAME, comment(), array_job_id=1)
    slurm.add(NAME, comment(), array_job_id=1)
    assert present(slurm).changed is False
    assert len(slurm.live()) == 2


def test_running_waits_in_the_queue() -> None:
    slurm = FakeSlurm(life=STARTS_AFTER_9)
    outcome = present(slurm, "running")
    assert outcome.job
    assert (outcome.job.state, outcome.job.nodes, outcome.job.batch_host) == ("RUNNING", "gpu1", "gpu1")


def test_running_says_why_it_is_still_in_the_queue() -> None:
    slurm = FakeSlurm(life=[])
    with pytest.raises(JobTimeoutError) as caught:
        present(slurm, "running", limits={"queue_timeout": 30})
    assert caught.value.message == (
        "Waiting for job 1 (vllm-serve-phi3) failed: it has been PENDING for 30 seconds, longer than queue_timeout "
        "allows (Slurm's reason: Resources). The job stays in the queue. Look at `squeue --start --jobs=1` and "
        "`sinfo`. Or raise queue_timeout."
    )
    assert caught.value.facts["job_id"] == 1
    assert len(slurm.live()) == 1


def test_running_tells_how_to_let_a_held_job_go() -> None:
    slurm = FakeSlurm(life=[(0, {"state": ["PENDING"], "reason": "JobHeldUser"})])
    with pytest.raises(JobTimeoutError, match="It is held: `scontrol release 1` lets it go. Or raise queue_timeout.$"):
        present(slurm, "running", limits={"queue_timeout": 30})


def test_time_to_start_has_its_own_clock() -> None:
    slurm = FakeSlurm(life=[(20, {"state": ["RUNNING", "CONFIGURING"], "nodes": "gpu1"})])
    with pytest.raises(JobTimeoutError, match="longer than start_timeout allows"):
        present(slurm, "running", limits={"queue_timeout": 30, "start_timeout": 30})
    assert slurm.clock == pytest.approx(1050.0)


def test_running_fails_at_once_for_a_reason_that_never_goes_away() -> None:
    slurm = FakeSlurm(life=[(4, {"state": ["PENDING"], "reason": "DependencyNeverSatisfied"})])
    with pytest.raises(JobTimeoutError) as caught:
        present(slurm, "running")
    assert caught.value.message == (
        "Waiting for job 1 (vllm-serve-phi3) failed: it can never start (Slurm's reason: DependencyNeverSatisfied). "
        "Change its options to what the cluster has, then run this task again."
    )
    assert slurm.clock < 1010


def test_running_fails_when_the_job_has_ended() -> None:
    log = "".join(f"line {number}\n" for number in range(30)) + "VLLM_API_KEY=very-secret failed\n"
    slurm = FakeSlurm(
        life=[(0, {"state": ["FAILED"], "exit_code": 137, "nodes": "gpu1", "reason": "NonZeroExitCode"})],
        logs={"/home/vllm/slurm-1.out": log},
    )
    with pytest.raises(JobEndedError) as caught:
        present(slurm, "running", environment={"MY_TOKEN": "line 28"})
    lines = caught.value.message.splitlines()
    assert lines[:2] == [
        "Running job 1 (vllm-serve-phi3) on gpu1 failed: it ended as FAILED (exit code 137, that is 128 + signal 9 "
        "(SIGKILL)), reason NonZeroExitCode. Correct the cause, then run this task again.",
        "The last lines of /home/vllm/slurm-1.out:",
    ]
    assert lines[2] == "line 11"
    assert lines[-3:] == ["********", "line 29", "VLLM_API_KEY=******** failed"]
    assert len(lines) == 22


def test_completed_waits_for_the_end_and_runs_once() -> None:
    slurm = FakeSlurm(life=COMPLETES)
    first = present(slurm, "completed")
    assert first.job
    assert (first.changed, first.job.state, first.job.exit_code) == (True, "COMPLETED", 0)
    second = present(slurm, "completed")
    assert second.changed is False
    assert second.message == "It has been completed before, by job 1 (vllm-serve-phi3) on gpu1."
    assert len(slurm.jobs) == 1


def test_completed_is_remembered_by_accounting_after_the_controller_forgot() -> None:
    slurm = FakeSlurm(life=COMPLETES)
    present(slurm, "completed")
    slurm.forgets_ended = True
    assert present(slurm, "completed").changed is False


def test_completed_reads_the_end_from_accounting() -> None:
    slurm = FakeSlurm(life=COMPLETES, forgets_ended=True)
    outcome = present(slurm, "completed")
    assert outcome.job
    assert (outcome.job.state, outcome.job.exit_code) == ("COMPLETED", 0)


def test_completed_without_any_record_says_so() -> None:
    slurm = FakeSlurm(life=COMPLETES, forgets_ended=True, has_accounting=False)
    with pytest.raises(JobEndedError) as caught:
        present(slurm, "completed")
    assert caught.value.message == (
        "Waiting for job 1 (vllm-serve-phi3) on gpu1 failed: the controller no longer knows the job and accounting has "
        "no record of it, so how it ended cannot be told (last seen as RUNNING). See its log, and run this task again: "
        "the job is submitted anew."
    )


def test_completed_fails_with_the_exit_code() -> None:
    slurm = FakeSlurm(life=FAILS)
    with pytest.raises(JobEndedError) as caught:
        present(slurm, "completed")
    assert caught.value.message == (
        "Completing job 1 (vllm-serve-phi3) on gpu1 failed: it ended as FAILED (exit code 1), reason NonZeroExitCode. "
        "Correct the cause, then run this task again.\n"
        "Its log /home/vllm/slurm-1.out cannot be read on this host."
    )
    assert caught.value.facts["exit_code"] == 1


def test_completed_gives_up_after_run_timeout() -> None:
    slurm = FakeSlurm()
    with pytest.raises(JobTimeoutError, match="longer than run_timeout allows. The job goes on"):
        present(slurm, "completed", limits={"run_timeout": 10})
    assert slurm.clock == pytest.approx(1010.0)


def test_a_failed_run_is_done_again() -> None:
    slurm = FakeSlurm(life=FAILS)
    with pytest.raises(JobEndedError):
        present(slurm, "completed")
    slurm.life = COMPLETES
    assert present(slurm, "completed").changed


def test_absent_cancels_every_key_of_the_name() -> None:
    slurm = FakeSlurm()
    slurm.add(NAME, comment())
    slurm.add(NAME, comment(args=["x"]))
    slurm.add("vllm-serve-mistral", "llmops:vllm-serve-mistral:0123456789abcdef")
    outcome = absent(slurm)
    assert outcome.changed
    assert [job.name for job in slurm.live()] == ["vllm-serve-mistral"]
    again = absent(slurm)
    assert (again.changed, again.message) == (False, "There is no job vllm-serve-phi3 of vllm to cancel.")


def test_absent_cancels_again_when_the_controller_forgot() -> None:
    slurm = FakeSlurm(forgotten_cancels=2)
    slurm.add(NAME, comment())
    assert absent(slurm).changed
    assert slurm.live() == []
    assert len(slurm.called("scancel")) == 3


def test_absent_says_what_does_not_go_away() -> None:
    slurm = FakeSlurm(forgotten_cancels=99)
    slurm.add(NAME, comment())
    with pytest.raises(JobTimeoutError) as caught:
        absent(slurm)
    assert caught.value.message == (
        "Cancelling failed: after 180 seconds there is still job 1 (vllm-serve-phi3) on gpu1 as RUNNING. Look at the "
        "node with `scontrol show node`; a node that does not answer keeps its jobs until it is set down."
    )


@pytest.mark.parametrize(
    ("state", "before", "changed"),
    [
        pytest.param("submitted", None, True, id="new"),
        pytest.param("running", "same", False, id="there"),
        pytest.param("running", "other", True, id="other"),
        pytest.param("completed", None, True, id="to-complete"),
        pytest.param("absent", "same", True, id="to-cancel"),
        pytest.param("absent", None, False, id="nothing-to-cancel"),
    ],
)
def test_check_mode_tells_and_does_nothing(state: str, before: str | None, changed: bool) -> None:
    slurm = FakeSlurm()
    if before:
        slurm.add(NAME, comment() if before == "same" else comment(args=["x"]))
    outcome = absent(slurm, check_mode=True) if state == "absent" else present(slurm, state, check_mode=True)
    assert outcome.changed is changed
    assert len(slurm.live()) == (1 if before else 0)
    assert slurm.called("scancel") == []
    assert [argv for argv in slurm.called("sbatch") if "--test-only" not in argv] == []


def test_check_mode_says_when_slurm_would_start_it() -> None:
    assert present(FakeSlurm(), check_mode=True).message == (
        "The job vllm-serve-phi3 would be submitted. Slurm would accept it: "
        "Job 99 to start at 2026-11-21T00:00:00 using 1 processors on nodes gpu1."
    )


def test_a_start_centuries_away_is_not_repeated_as_if_it_were_one() -> None:
    assert readable_start("Job 20 to start at 3047-08-28T01:23:59 using 1 processors") == (
        "Job 20 to start at a time that cannot be told yet using 1 processors"
    )
    assert (
        readable_start("Job 20 to start at 2026-11-21T00:00:00 using") == "Job 20 to start at 2026-11-21T00:00:00 using"
    )


def test_check_mode_fails_where_the_run_would() -> None:
    with pytest.raises(
        RefusedError, match="Testing the submission of the job vllm-serve-phi3 of vllm failed: bad gres"
    ):
        present(FakeSlurm(refusal="bad gres"), check_mode=True)


def present_all(slurm: FakeSlurm, names: list[str], state: str = "submitted", at_once: int = AT_ONCE) -> list[Outcome]:
    specs = [spec(name=name) for name in names]
    orders = [Order(one, one.key("lab"), PATH) for one in specs]
    run = manager(slurm)
    run.at_once = at_once
    return run.present(orders, state=state, on_change="replace")


@pytest.mark.parametrize("state", ["submitted", "running", "completed"])
def test_a_thousand_jobs_cost_as_many_questions_as_one(state: str) -> None:
    asked = []
    for count in (1, 1000):
        slurm = FakeSlurm(life=COMPLETES if state == "completed" else STARTS_AFTER_9)
        outcomes = present_all(slurm, [f"job{number}" for number in range(count)], state)
        assert all(outcome.changed and not outcome.error for outcome in outcomes)
        assert len(slurm.jobs) == len(slurm.called("sbatch")) == count
        asked.append(len(slurm.called("squeue")) + len(slurm.called("scontrol")))
    assert asked[0] == asked[1]


def test_each_job_of_a_list_has_its_own_fate() -> None:
    slurm = FakeSlurm(life=FAILS)
    slurm.add("good", spec(name="good").comment(spec(name="good").key("lab")), life=COMPLETES)
    good, bad = present_all(slurm, ["good", "bad"], "completed")
    assert (good.changed, good.error) == (False, None)
    assert isinstance(bad.error, JobEndedError)
    assert bad.changed


def test_of_a_list_nothing_is_touched_when_slurm_refuses_one_change() -> None:
    slurm = FakeSlurm()
    slurm.add("a", "llmops:a:0123456789abcdef")
    slurm.refusal = "bad gres"
    with pytest.raises(RefusedError, match="Testing the submission of the job a of vllm failed: bad gres"):
        present_all(slurm, ["b", "a"])
    assert len(slurm.live()) == 1
    assert [argv for argv in slurm.called("sbatch") if "--test-only" not in argv] == []


@pytest.mark.parametrize("at_once", [1, 2, 4])
def test_an_unclear_answer_holds_up_the_rest_of_a_list_until_a_look(at_once: int) -> None:
    slurm = FakeSlurm(submit_faults=["", "taken but timed out", "", "timed out"])
    outcomes = present_all(slurm, ["a", "b", "c", "d", "e"], at_once=at_once)
    first_look = [argv[0] for argv in slurm.calls].index("squeue", slurm.calls.index(slurm.called("sbatch")[0]))
    # The second answer is unclear. What is on its way by then arrives, and nothing else sets out.
    assert 2 <= len([argv for argv in slurm.calls[:first_look] if argv[0] == "sbatch"]) <= 1 + at_once
    assert [outcome.error for outcome in outcomes] == [None] * 5
    assert sorted(job.name for job in slurm.live()) == ["a", "b", "c", "d", "e"]
    assert len(slurm.called("sbatch")) == 6


@pytest.mark.parametrize("state", ["submitted", "running"])
def test_a_job_that_dies_with_its_controller_is_made_again(state: str) -> None:
    """Acknowledged, seen, and lost: the controller was killed before it wrote the job down."""
    slurm = FakeSlurm()
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        slurm.clock += seconds
        naps.append(seconds)
        if len(naps) == 1:
            slurm.jobs.clear()
            slurm.boot_time += 1

    run = manager(slurm)
    run.watch.sleep = sleep
    wanted = spec()
    (outcome,) = run.present([Order(wanted, wanted.key("lab"), PATH)], state=state, on_change="replace")
    assert outcome.error is None
    assert outcome.job
    assert [job.job_id for job in slurm.live()] == [outcome.job.job_id] == [2]
    assert len(slurm.called("sbatch")) == 2


def test_a_job_that_is_over_and_forgotten_at_once_is_not_made_again() -> None:
    slurm = FakeSlurm(life=[*RUNS_AT_ONCE, (3, {"state": ["COMPLETED"]})], forgets_ended=True, has_accounting=False)
    assert present(slurm).changed
    assert len(slurm.jobs) == 1


def array(slurm: FakeSlurm, *lives: Life) -> None:
    key = comment(options={"array": "0-2"})
    for task, life in enumerate(lives):
        slurm.add(NAME, key, array_job_id=1, array_task_id=task, life=life, submit_line=f"sbatch --comment={key}")


def test_an_array_runs_when_one_of_its_tasks_does() -> None:
    slurm = FakeSlurm()
    array(slurm, [], RUNS_AT_ONCE, [])
    outcome = present(slurm, "running", options={"array": "0-2"})
    assert (outcome.changed, outcome.error) == (False, None)
    assert [(task.array_task_id, task.state) for task in outcome.tasks] == [
        (0, "PENDING"),
        (1, "RUNNING"),
        (2, "PENDING"),
    ]


def test_an_array_is_completed_when_all_of_its_tasks_are() -> None:
    slurm = FakeSlurm()
    array(slurm, COMPLETES, COMPLETES, [*COMPLETES[:1], (30, COMPLETES[1][1])])
    outcome = present(slurm, "completed", options={"array": "0-2"})
    assert [task.state for task in outcome.tasks] == ["COMPLETED"] * 3
    assert slurm.clock >= 1030
    assert present(slurm, "completed", options={"array": "0-2"}).message.startswith("It has been completed before")


def test_an_array_fails_with_the_task_that_failed() -> None:
    slurm = FakeSlurm()
    array(slurm, COMPLETES, FAILS, COMPLETES)
    with pytest.raises(JobEndedError) as caught:
        present(slurm, "completed", options={"array": "0-2"})
    assert caught.value.message.startswith(
        "Completing job 1_1 (vllm-serve-phi3) on gpu1 failed: 1 of its 3 tasks did not succeed; task 1 ended as FAILED "
        "(exit code 1)"
    )
