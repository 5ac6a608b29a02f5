"""EC2 takes a spot instance back: its node is drained and its jobs go on elsewhere, within seconds."""

from __future__ import annotations

import time

import pytest

from tests.integration.spot_notice.conftest import WARNING, Spot, until

# A lab of its own.
pytestmark = pytest.mark.slow

# From the notice; a service that looks every second, Slurm's kill and epilog, a busy machine. Slurm by itself lets a
# job that was put back wait for two minutes.
SOON, ELSEWHERE = 10, 30


def test_a_second_run_changes_nothing(spot: Spot) -> None:
    done = spot.site("spot_notice.yml")
    assert (done.rc, done.changed) == (0, 0), done.output[-3000:]


def test_the_service_is_nobody_on_the_host(spot: Spot) -> None:
    number = spot.run("gpu2", "systemctl show --property=MainPID --value llmops-spot-notice").strip()
    words = dict(line.split(":\t", 1) for line in spot.run("gpu2", f"cat /proc/{number}/status").splitlines())
    assert spot.run("gpu2", f"stat --format=%U /proc/{number}").strip() == "slurm"
    assert int(words["CapEff"], 16) == 0
    assert words["NoNewPrivs"] == "1"


def test_without_a_notice_nothing_happens(spot: Spot) -> None:
    number = spot.submit()
    time.sleep(6)

    assert spot.job(number)["JobState"] == "RUNNING"
    assert spot.reason() == ""
    assert spot.said() == ["looking every 1 s for a notice of EC2, as node gpu2"]


def test_a_job_is_put_back_and_runs_elsewhere(spot: Spot) -> None:
    number = spot.submit("--gres=gpu:1", run="hostname; sleep 600")

    at = spot.notice()
    drained = until("gpu2 is drained", spot.reason, SOON)
    told = spot.reason()
    moved = until("the job runs on gpu1", lambda: spot.job(number).get("NodeList") == "gpu1", ELSEWHERE)

    assert told == f"spot: EC2 takes this instance back at {at}"
    assert (spot.job(number)["JobState"], spot.job(number)["Restarts"]) == ("RUNNING", "1")
    assert f"job {number} goes back into the queue" in spot.said()
    # Each matter once, however often it looked.
    assert sum(f"job {number}" in line for line in spot.said()) == 2
    print(f"drained {drained:.1f} s after the notice, running elsewhere {drained + moved:.1f} s after it")


def test_a_job_that_must_not_be_started_again_is_warned(spot: Spot) -> None:
    run = 'trap "echo saved at \\$(date +%s); exit 0" TERM; sleep 600 & wait'
    number = spot.submit("--no-requeue", run=run.replace("'", ""))
    since = time.time()

    spot.notice(120)
    until("gpu2 is drained", spot.reason, SOON)
    assert spot.job(number)["JobState"] == "RUNNING"
    until("the job has ended", lambda: spot.job(number)["JobState"] != "RUNNING", 60)

    assert spot.job(number)["JobState"] in ("COMPLETED", "COMPLETING")
    saved = float(spot.run("gpu2", f"grep 'saved at' /tmp/{number}.out").split()[-1])
    assert abs(saved - (since + 120 - WARNING)) < 8
    assert f"job {number} is told to end (SIGTERM)" in spot.said()
    assert sum("not put back into the queue" in line for line in spot.said()) == 1


def test_a_drain_of_a_person_keeps_its_reason(spot: Spot) -> None:
    number = spot.submit()
    spot.run("ctl", "scontrol update nodename=gpu2 state=drain reason='disk is swapped'")

    spot.notice()

    until("the job runs on gpu1", lambda: spot.job(number).get("NodeList") == "gpu1", ELSEWHERE)
    assert spot.reason() == "disk is swapped"


def test_it_does_not_fight_with_the_health_check(spot: Spot) -> None:
    """Neither does a passing drain of the health check end while the instance goes, nor does the check end ours."""
    passing = "node_health: / has 1 MiB free, 1024 are wanted (resumes by itself)"
    spot.run("ctl", f"scontrol update nodename=gpu2 state=drain reason='{passing}'")

    at = spot.notice()

    until("the reason is EC2's", lambda: spot.reason() == f"spot: EC2 takes this instance back at {at}", SOON)
    spot.run("gpu2", "/usr/local/libexec/llmops/node-health-check")
    assert spot.reason() == f"spot: EC2 takes this instance back at {at}"
    assert "somebody else drained it" in spot.run("gpu2", "/usr/local/libexec/llmops/node-health look", check=False)


def test_advice_is_logged_once_and_nothing_else(spot: Spot) -> None:
    spot.run("gpu2", 'echo \'{"noticeTime": "2026-11-21T12:00:00Z"}\' >/run/imds/events/recommendations/rebalance')
    time.sleep(5)

    assert sum("EC2 expects to take this instance back" in line for line in spot.said()) == 1
    assert spot.reason() == ""


def test_a_service_that_is_away_is_logged_once(spot: Spot) -> None:
    spot.silence()
    time.sleep(6)
    assert sum("does not answer" in line for line in spot.said()) == 1
    assert spot.run("gpu2", "systemctl is-active llmops-spot-notice").strip() == "active"

    spot.fake()
    until("it is heard again", lambda: "the metadata service answers again" in spot.said(), SOON)
    spot.notice()
    until("gpu2 is drained", spot.reason, SOON)


def test_it_may_be_killed_at_any_moment(spot: Spot) -> None:
    first = spot.submit()
    at = spot.notice()
    until("gpu2 is drained", spot.reason, SOON)
    spot.run("gpu2", "systemctl kill --signal=KILL llmops-spot-notice")

    # One that was put back just before it was killed waits as long as Slurm wants.
    until("the job runs on gpu1", lambda: spot.job(first).get("NodeList") == "gpu1", ELSEWHERE + 150)
    until("it is back", lambda: sum("looking every" in line for line in spot.said()) == 2, 30)
    time.sleep(3)
    assert spot.reason() == f"spot: EC2 takes this instance back at {at}"
    assert spot.job(first)["Restarts"] == "1"


def test_while_the_controller_is_away_it_tries_on(spot: Spot) -> None:
    number = spot.submit()
    spot.run("ctl", "systemctl stop slurmctld")
    spot.notice()
    until("it says so", lambda: any("failed: " in line for line in spot.said()), 60)
    spot.run("ctl", "systemctl start slurmctld")

    until("the job runs on gpu1", lambda: spot.job(number).get("NodeList") == "gpu1", 90)


def test_a_host_that_is_no_spot_instance_loses_the_service(spot: Spot) -> None:
    off = ("--extra-vars", '{"spot_notice_enabled": false}')
    runs = [spot.site("spot_notice.yml", *off) for _ in range(2)]
    assert [(one.rc, one.changed > 0) for one in runs] == [(0, True), (0, False)]
    assert spot.run("gpu2", "systemctl is-active llmops-spot-notice", check=False).strip() == "inactive"

    assert spot.site("spot_notice.yml").rc == 0
    assert spot.run("gpu2", "systemctl is-active llmops-spot-notice").strip() == "active"
