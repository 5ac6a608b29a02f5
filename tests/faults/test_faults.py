"""Every fault of the lists ends in the right final state: one live job where one is wanted, none where none is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from .actors import Actor, Plain, SlurmJob
from .faults_cluster import FAULTS as CLUSTER
from .faults_jobs import FAULTS as JOBS
from .faults_submission import FAULTS as SUBMISSION
from .model import Answer, Fault, Found
from .report import Record
from .stage import Stage

FAULTS = [*SUBMISSION, *CLUSTER, *JOBS]


@contextmanager
def whole_again(stage: Stage) -> Iterator[None]:
    try:
        yield
    finally:
        stage.restore()


def play(stage: Stage, fault: Fault, actor: Actor) -> tuple[Found, list[Answer], Answer | None]:
    """The fault from its beginning to the cluster at rest."""
    stage.job_name, first = actor.job_name, None
    stage.strict = isinstance(actor, SlurmJob)
    if fault.first:
        first = actor.run(fault.first)
        assert not first.failed, f"before the fault: {first.words}"
        stage.job_id = first.job_id or int(first.words.split()[1])
    with fault.inject(stage):
        answers = fault.act(actor, fault.call)
    stage.calm()
    if fault.again:
        answers.append(actor.run(fault.call))
        stage.calm()
    return stage.find(actor.job_name), answers, first


@pytest.mark.parametrize("fault", [pytest.param(fault, id=fault.id) for fault in FAULTS])
def test_fault(fault: Fault, stage: Stage, records: list[Record], request: pytest.FixtureRequest) -> None:
    began = time.monotonic()
    with whole_again(stage):
        found, answers, first = play(stage, fault, SlurmJob(stage, f"{fault.id}-{stage.session}"))
    wrong = fault.expect.judge(found, answers, first)
    seconds, plain_wrong = time.monotonic() - began, None
    if request.config.getoption("--plain") and fault.plain:
        with whole_again(stage):
            changed = fault.first is not None and fault.first.script != fault.call.script
            found, answers, _ = play(stage, fault, Plain(stage, f"{fault.id}-{stage.session}-plain", changed))
        plain_wrong = tuple(fault.expect.judge_cluster(found, answers))
        stage.note(f"plain script: {'; '.join(plain_wrong) or 'right'}")
    records.append(Record(fault.id, fault.kind, tuple(wrong), seconds, plain_wrong))
    assert not wrong, "; ".join(wrong)


def test_ids_are_unique_and_every_class_is_in_the_quick_part() -> None:
    ids = [fault.id for fault in FAULTS]
    assert len(set(ids)) == len(ids)
    assert {fault.kind for fault in FAULTS} == {fault.kind for fault in FAULTS if fault.quick}
