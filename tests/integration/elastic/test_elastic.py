"""Nodes that appear on demand and go when idle, on a real Slurm whose nodes are containers that the lab switches."""

from __future__ import annotations

import time

import pytest

from .conftest import PROGRAM, Elastic, until

# A lab of their own, and minutes in which Slurm waits for nodes.
pytestmark = pytest.mark.slow


def ended(lab: Elastic, job: str) -> bool:
    return lab.job(job).get("JobState") == "COMPLETED"


def test_a_job_starts_its_node_and_an_idle_node_is_stopped(elastic: Elastic) -> None:
    job = elastic.submit("on-demand", "--nodelist=el1")
    until("el1 is switched on", lambda: elastic.cloud.running() == ["el1"])
    until("the job ran", lambda: ended(elastic, job))
    assert elastic.job(job)["Restarts"] == "0"
    assert elastic.node("el1")["NodeAddr"] == elastic.address("el1")
    until("el1 is switched off again", elastic.all_off)
    assert [call for call in elastic.cloud.calls if call[0] == "start"] == [("start", "el1")]


def test_a_node_that_never_comes_up(elastic: Elastic) -> None:
    elastic.cloud.faults["el1"] = "dead"
    # el1 is first in the list, and el2 is there for the second try.
    job = elastic.submit("elsewhere", "--nodes=1")
    words = "elastic: broken: started, but did not come up within ResumeTimeout"
    until("Slurm gives el1 up", lambda: words in elastic.node("el1")["Reason"])
    assert "DOWN" in elastic.flags("el1")
    assert "1 of 3 failures in a row" in elastic.status()
    until("the job ran on the other node", lambda: ended(elastic, job))
    found = elastic.job(job)
    assert (found["Restarts"], found["NodeList"]) == ("1", "el2")
    assert "failures in a row" not in elastic.status(), "a success ends the row"
    elastic.cloud.faults.clear()
    until("el1 may be had again", lambda: elastic.flags("el1") == {"IDLE", "CLOUD", "POWERED_DOWN"})


def test_many_failures_protect_the_partition(elastic: Elastic) -> None:
    elastic.cloud.faults.update(el1="permanent", el2="permanent")
    job = elastic.submit("unlucky", "--nodes=1")
    until("it is protected", lambda: "PROTECTED" in elastic.status(), 300)
    assert "3 starts in a row failed" in elastic.status()
    assert "llmops-elastic unprotect gpu" in elastic.run("ctl", "journalctl -t llmops-elastic --no-pager -n 50")
    until("no node can be asked for", lambda: all("DRAIN" in elastic.flags(name) for name in ("el1", "el2")))
    assert elastic.cloud.running() == []
    assert "elastic: protected: partition gpu: 3 starts in a row failed" in elastic.run("ctl", "sinfo -R -h -o %100E")
    assert elastic.job(job)["JobState"] == "PENDING"
    elastic.cloud.faults.clear()
    elastic.run("ctl", f"{PROGRAM} unprotect gpu")
    until("the job ran", lambda: ended(elastic, job))
    assert "PROTECTED" not in elastic.status()


def test_no_capacity_for_one_node_of_two(elastic: Elastic) -> None:
    elastic.cloud.faults["el2"] = "capacity"
    job = elastic.submit("both", "--nodes=2", "--exclusive")
    until("el2 is refused", lambda: "elastic: capacity" in elastic.node("el2")["Reason"])
    until("nothing is left running", lambda: not elastic.cloud.running(), 60)
    assert elastic.job(job)["JobState"] == "PENDING"
    assert "failures in a row" not in elastic.status(), "a lack of capacity is not counted"
    elastic.cloud.faults.clear()
    until("the job ran once there was capacity", lambda: ended(elastic, job), 240)
    assert elastic.job(job)["NodeList"] == "el[1-2]"


def test_a_resume_that_is_killed_half_way(elastic: Elastic) -> None:
    elastic.cloud.delay = 4
    job = elastic.submit("killed", "--nodelist=el1")
    until("the driver is at work", lambda: ("start", "el1") in elastic.cloud.calls)
    elastic.run("ctl", "pkill -9 -f /opt/llmops/[e]lastic/bin/elastic-resume")
    elastic.cloud.delay = 0
    until("the job ran", lambda: ended(elastic, job))
    assert elastic.cloud.running() == ["el1"]


def test_a_resume_that_is_killed_before_it_began(elastic: Elastic) -> None:
    """Nothing was started: the sweep finds that Slurm waits for a node for which nothing runs."""
    elastic.run("ctl", "mv /etc/llmops/elastic.json /etc/llmops/elastic.json.away")
    try:
        job = elastic.submit("never-began", "--nodelist=el1")
        until("Slurm waits for el1", lambda: "POWERING_UP" in elastic.flags("el1"))
        time.sleep(3)
        assert elastic.cloud.running() == []
    finally:
        elastic.run("ctl", "mv /etc/llmops/elastic.json.away /etc/llmops/elastic.json")
    until("the job ran", lambda: ended(elastic, job))


def test_orphans_are_stopped(elastic: Elastic) -> None:
    elastic.cloud.start("el2")
    until("it is stopped", lambda: elastic.cloud.running() == [])
    log = elastic.run("ctl", "journalctl -t llmops-elastic --no-pager -n 50")
    # If its slurmd joins before the sweep comes by, Slurm has an idle node and stops that.
    assert "its node is powered down" in log or log.splitlines()[-1].endswith("suspend el2")


def test_site_with_nodes_off_leaves_them_out_and_changes_nothing(elastic: Elastic) -> None:
    before = elastic.run("ctl", "sha256sum /etc/slurm/slurm.conf /etc/llmops/slurm-hardware.json")
    done = elastic.site()
    assert done.rc == 0, done.output[-6000:]
    assert done.changed == 0, done.output
    assert "el1, el2: powered down, so this run leaves them as they are" in done.words
    assert elastic.run("ctl", "sha256sum /etc/slurm/slurm.conf /etc/llmops/slurm-hardware.json") == before
    assert elastic.cloud.running() == []


def test_site_with_a_node_on_keeps_it_on(elastic: Elastic) -> None:
    job = elastic.submit("on", "--nodelist=el2", run="sleep 1")
    until("the job ran", lambda: ended(elastic, job))
    done = elastic.site()
    assert done.rc == 0, done.output[-6000:]
    assert "el1: powered down" in done.words
    assert done.changed == 0, done.output
    until("el2 is switched off after the run", elastic.all_off)


def test_secrets_are_read_by_slurm_alone(elastic: Elastic) -> None:
    assert elastic.run("ctl", "stat -c '%U %G %a' /etc/llmops/elastic.json").split() == ["root", "slurm", "640"]
    token = str(elastic.lab.facts()["cloud_token"])
    logs = elastic.run("ctl", "journalctl --no-pager -b; cat /var/log/slurm/slurmctld.log")
    assert token not in logs
