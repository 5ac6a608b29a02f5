# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.kept import cluster_of, kept
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.spec import JobSpec, build_spec

OTHER = "fedcba9876543210"


def spec(name: str = "phi3") -> JobSpec:
    return build_spec(name=name, user="vllm", script="#!/bin/sh\n", script_path=None, chdir="/home/vllm")


def job(job_id: int = 7, *, key: str = "", name: str = "phi3", user: str = "vllm", **facts: t.Any) -> Job:
    found = {"state": "RUNNING", "stdout": "/home/vllm/slurm-7.out", "cluster": "lab"}
    found["comment"] = f"llmops:{name}:{key or spec(name).key('lab')}"
    return Job(job_id, name, user, **{**found, **facts})


def ask(
    *jobs: Job, state: str = "submitted", on_change: str = "replace", names: t.Sequence[str] = ("phi3",)
) -> list[str] | None:
    outcomes = kept([spec(name) for name in names], jobs, "lab", state=state, on_change=on_change)
    if outcomes is not None:
        assert not any(outcome.changed or outcome.cancelled or outcome.error for outcome in outcomes)
    return None if outcomes is None else [outcome.message for outcome in outcomes]


def test_a_live_job_of_the_key_is_kept() -> None:
    assert ask(job(nodes="gpu1")) == ["Job 7 (phi3) on gpu1 is as wanted."]
    assert ask(job(state="PENDING")) == ["Job 7 (phi3) is as wanted."]
    assert ask(job(), state="running") == ["Job 7 (phi3) is as wanted."]
    assert ask(job(), job(8, name="mistral"), names=["mistral", "phi3"]) == [
        "Job 8 (mistral) is as wanted.",
        "Job 7 (phi3) is as wanted.",
    ]


@pytest.mark.parametrize(
    ("jobs", "state"),
    [
        pytest.param([], "submitted", id="no job"),
        pytest.param([job(key=OTHER)], "submitted", id="another specification"),
        pytest.param([job(), job(6, key=OTHER)], "submitted", id="left over by a replacement"),
        pytest.param([job(), job(8)], "submitted", id="twice"),
        pytest.param([job(state="COMPLETED")], "submitted", id="over"),
        pytest.param([job(state="PENDING")], "running", id="still waits"),
        pytest.param([job(flags=("CONFIGURING",))], "running", id="its node boots"),
        pytest.param([job(flags=("COMPLETING",))], "running", id="ends"),
        pytest.param([job()], "completed", id="to be waited for"),
        pytest.param([job(stdout="")], "submitted", id="told by text, not in full"),
        pytest.param([job(group_id=7, array_task_id=0)], "submitted", id="array"),
    ],
)
def test_anything_left_to_do_is_not_settled_here(jobs: list[Job], state: str) -> None:
    assert ask(*jobs, state=state) is None


def test_one_of_many_that_is_missing_leaves_all_to_the_manager() -> None:
    assert ask(job(), names=["phi3", "mistral"]) is None


def test_an_older_specification_is_left_beside_it_where_nothing_shall_change() -> None:
    assert ask(job(), job(6, key=OTHER), on_change="keep") == ["Job 7 (phi3) is as wanted."]


def test_jobs_of_others_are_told_and_left_alone() -> None:
    (outcome,) = kept([spec()], [job(), job(9, comment="")], "lab", state="running", on_change="fail") or []
    assert [one.job_id for one in outcome.foreign] == [9]
    assert outcome.warnings == [
        "There are jobs of the same name and user that this module did not make; they are left alone: 9."
    ]
    assert ask(job(user="root")) is None


def test_the_cluster_is_the_one_that_all_jobs_name() -> None:
    assert cluster_of([job(), job(8, key=OTHER)]) == "lab"
    assert cluster_of([job(), job(8, cluster="other")]) is None
    assert cluster_of([job(cluster="")]) is None
    assert cluster_of([]) is None


def test_a_key_is_of_one_cluster() -> None:
    assert kept([spec()], [job()], "other", state="submitted", on_change="replace") is None
