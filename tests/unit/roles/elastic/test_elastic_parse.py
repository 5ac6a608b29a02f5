# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from llmops_elastic.errors import ElasticError
from llmops_elastic.model import Job
from llmops_elastic.parse import parse_jobs, parse_nodes

LINE = (
    "NodeName=el1 CoresPerSocket=8 CPUAlloc=0 CPUEfctv=8 CPUTot=8 CPULoad=0.00 AvailableFeatures=(null) "
    "ActiveFeatures=(null) Gres=gpu:l4:1 NodeAddr=10.0.0.12 NodeHostName=el1 RealMemory=16000 AllocMem=0 FreeMem=N/A "
    "Sockets=1 Boards=1 State={state} ThreadsPerCore=1 TmpDisk=0 Weight=1 Owner=N/A MCS_label=N/A Partitions=gpu,all "
    "BootTime=None SlurmdStartTime=None LastBusyTime=Unknown ResumeAfterTime=None CfgTRES=cpu=8,mem=16000M "
    "AllocTRES= CurrentWatts=0 AveWatts=0{rest}"
)


@pytest.mark.parametrize(
    ("state", "flags"),
    [
        pytest.param("IDLE+CLOUD+POWERED_DOWN", {"IDLE", "CLOUD", "POWERED_DOWN"}, id="off"),
        pytest.param("DOWN*+CLOUD", {"DOWN", "CLOUD", "NOT_RESPONDING"}, id="a star is silence"),
        pytest.param(
            "MIXED+CLOUD+NOT_RESPONDING+POWERING_UP", {"MIXED", "CLOUD", "NOT_RESPONDING", "POWERING_UP"}, id="booting"
        ),
    ],
)
def test_states(state: str, flags: set[str]) -> None:
    assert parse_nodes(LINE.format(state=state, rest=""))["el1"].flags == flags


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        pytest.param("", "", id="none"),
        pytest.param(" Reason=elastic: capacity [slurm@2026-11-21T08:00:00]", "elastic: capacity", id="in words"),
        pytest.param(" Reason=State=UP NodeName=el9 [root@x]", "State=UP NodeName=el9", id="looks like fields"),
        pytest.param(" Reason=sick [root@x] Comment=Partitions=none", "sick", id="before a comment"),
    ],
)
def test_reasons_and_what_stands_in_free_text(rest: str, reason: str) -> None:
    found = parse_nodes(LINE.format(state="IDLE", rest=rest))
    assert list(found) == ["el1"]
    one = found["el1"]
    assert (one.reason, one.address, one.hostname, one.partitions) == (reason, "10.0.0.12", "el1", ("gpu", "all"))


def test_jobs_of_a_resume_file() -> None:
    text = json.dumps(
        {
            "all_nodes_resume": "a,b,c",
            "jobs": [
                {"job_id": 7, "nodes_alloc": "a,b", "nodes_resume": "b", "extra": None, "features": None},
                {"job_id": 8, "nodes_resume": "c"},
            ],
        }
    )
    assert parse_jobs(text, lambda names: names.split(",")) == [
        Job(7, frozenset({"a", "b"})),
        Job(8, frozenset({"c"})),
    ]


@pytest.mark.parametrize("text", ["", "[]", '{"jobs": [{}]}', '{"jobs": [1]}'])
def test_a_resume_file_that_is_none(text: str) -> None:
    with pytest.raises(ElasticError, match="reading SLURM_RESUME_FILE failed"):
        parse_jobs(text, lambda names: names.split(","))
