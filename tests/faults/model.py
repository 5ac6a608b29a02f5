"""What a fault is, as data: who does what under which disturbance, and what must be true at the end."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .actors import Actor
    from .stage import Stage

# A disturbance: begins on entering, is over at the latest on leaving.
Injection = Callable[["Stage"], AbstractContextManager[None]]


@dataclass(frozen=True)
class Call:
    """One call of the module slurm_job, in words that a plain script understands as well."""

    state: str = "submitted"
    # Which of the scripts of stage.SCRIPTS the job shall run.
    script: str = "serve-v1"
    options: dict[str, Any] = field(default_factory=dict)
    on_change: str = "replace"
    limits: dict[str, int] = field(default_factory=dict)
    host: str = "ctl"


@dataclass(frozen=True)
class Answer:
    """What a call came back with. `job_id` and `changed` only the module tells."""

    failed: bool
    words: str
    changed: bool | None = None
    job_id: int | None = None
    seconds: float = 0.0
    killed: bool = False


@dataclass(frozen=True)
class Found:
    """The cluster after the fault: the live jobs of the name, and how often its script has begun."""

    live: tuple[tuple[int, str], ...]
    foreign: int
    begun: int


@dataclass(frozen=True)
class Expect:
    """The right end. `says` is searched in the last answer; None means that it does not matter."""

    live: int = 1
    # The script of the live jobs; empty: any.
    script: str = "serve-v1"
    failed: bool = False
    changed: int | None = None
    says: str = ""
    # Live jobs of the same name that are not ours to touch.
    foreign: int = 0
    # How often the job's script has begun; above 1 work was done twice.
    begun: int | None = None
    same_job: bool = False
    within: float | None = None

    def judge(self, found: Found, answers: list[Answer], first: Answer | None) -> list[str]:
        """What is wrong for the module; nothing when all is right."""
        wrong = self.judge_cluster(found, answers)
        changed = sum(bool(answer.changed) for answer in answers)
        if self.changed is not None and changed != self.changed:
            wrong.append(f"changed in {changed} of the calls, not in {self.changed}")
        if self.says and not re.search(self.says, answers[-1].words):
            wrong.append(f"the answer does not say {self.says!r}")
        if self.same_job and first and first.job_id not in [job_id for job_id, _ in found.live]:
            wrong.append(f"job {first.job_id} is no longer the one")
        if self.within is not None and answers[-1].seconds > self.within:
            wrong.append(f"it took {answers[-1].seconds:.0f} seconds, more than {self.within:.0f}")
        return wrong

    def judge_cluster(self, found: Found, answers: list[Answer]) -> list[str]:
        """The part that a plain script is judged by too."""
        wrong = []
        if len(found.live) != self.live:
            wrong.append(f"{len(found.live)} live jobs, not {self.live}: {list(found.live)}")
        other = [job for job in found.live if self.script and job[1] != self.script]
        if other:
            wrong.append(f"live jobs of another script than {self.script}: {other}")
        if found.foreign != self.foreign:
            wrong.append(f"{found.foreign} foreign jobs, not {self.foreign}")
        if self.begun is not None and found.begun != self.begun:
            wrong.append(f"the script began {found.begun} times, not {self.begun}")
        wrong += [
            f"a call {'failed' if answer.failed else 'did not fail'}"
            for answer in answers
            if not answer.killed and answer.failed != self.failed
        ]
        return wrong


def one_call(actor: Actor, call: Call) -> list[Answer]:
    return [actor.run(call)]


@dataclass(frozen=True)
class Fault:
    """`first` runs undisturbed; `act` runs under `inject`; with `again` the call is repeated once all is well."""

    id: str
    kind: str
    inject: Injection
    expect: Expect
    call: Call = field(default_factory=Call)
    first: Call | None = None
    act: Callable[[Actor, Call], list[Answer]] = one_call
    again: bool = False
    # Part of `make test`.
    quick: bool = False
    # Whether a plain script knows of the matter at all (it has no on_change, and tells no reasons).
    plain: bool = True
