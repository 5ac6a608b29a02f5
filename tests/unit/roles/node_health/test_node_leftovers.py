# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which processes are ended after a job: that job's, nobody else's."""

from __future__ import annotations

import pytest
from ansible_collections.llmops.cluster.roles.node_health.files.node_health.leftovers import (
    Process,
    job_of_cgroup,
    job_of_environment,
    left_by,
)

GPU = frozenset({"/dev/nvidia1"})


@pytest.mark.parametrize(
    ("one", "alone", "together"),
    [
        pytest.param(Process(1, 1, "12", ""), True, True, id="its-environment"),
        pytest.param(Process(1, 1, "", "12"), True, True, id="its-cgroup"),
        pytest.param(Process(1, 1, "13", "12"), True, True, id="its-cgroup-with-another-environment"),
        pytest.param(Process(1, 1, "12", "13"), False, False, id="its-environment-in-another-cgroup"),
        pytest.param(Process(1, 1, "13", "", GPU), False, False, id="another-job-on-its-gpu"),
        pytest.param(Process(1, 1, "", "13", GPU), False, False, id="another-cgroup-on-its-gpu"),
        pytest.param(Process(1, 1, "", "", GPU), True, False, id="no-job-on-its-gpu"),
        pytest.param(Process(1, 1, "", "", frozenset({"/dev/nvidia0"})), False, False, id="no-job-on-another-gpu"),
        pytest.param(Process(1, 1, "", ""), False, False, id="no-job-no-gpu"),
        pytest.param(Process(1, 1, "120", ""), False, False, id="a-longer-number"),
    ],
)
def test_whose_a_process_is(one: Process, alone: bool, together: bool) -> None:
    assert left_by("12", [one], ["/dev/nvidia1"], lambda: False) == ([one] if alone else [])
    assert left_by("12", [one], ["/dev/nvidia1"], lambda: True) == ([one] if together else [])


def test_slurm_is_asked_only_when_it_matters() -> None:
    def asked() -> bool:
        raise AssertionError("asked")

    assert left_by("12", [Process(1, 1, "12", ""), Process(2, 1, "", "")], GPU, asked) == [Process(1, 1, "12", "")]


@pytest.mark.parametrize(
    ("environ", "job"),
    [
        (b"PATH=/bin\0SLURM_JOB_ID=12\0HOME=/\0", "12"),
        (b"XSLURM_JOB_ID=12\0", ""),
        (b"", ""),
        (b"SLURM_JOB_ID\0", ""),
    ],
)
def test_the_job_of_an_environment(environ: bytes, job: str) -> None:
    assert job_of_environment(environ) == job


@pytest.mark.parametrize(
    ("text", "job"),
    [
        ("0::/system.slice/slurmstepd.scope/job_12/step_batch/user/task_0\n", "12"),
        ("11:memory:/slurm/uid_1000/job_12/step_0\n1:cpu:/\n", "12"),
        ("0::/system.slice/slurmstepd.scope/job_12\n", "12"),
        ("0::/user.slice/user-1000.slice/my_job_12x\n", ""),
        ("0::/\n", ""),
    ],
)
def test_the_job_of_a_cgroup(text: str, job: str) -> None:
    assert job_of_cgroup(text) == job
