# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a job failed or is not ready: one cause, the line that shows it, and what to do. Pure."""

from __future__ import annotations

import re
import typing as t
from dataclasses import asdict, dataclass

from ansible_collections.llmops.cluster.plugins.module_utils._manager import (
    causes_engine,
    causes_memory,
    causes_network,
    causes_slurm,
)
from ansible_collections.llmops.cluster.plugins.module_utils._manager.causes import Cause, Where
from ansible_collections.llmops.cluster.plugins.module_utils._manager.progress import last_start
from ansible_collections.llmops.cluster.plugins.module_utils._manager.table import harmless
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.mask import mask

if t.TYPE_CHECKING:
    from collections.abc import Iterator

CAUSES: t.Final = (*causes_engine.CAUSES, *causes_memory.CAUSES, *causes_network.CAUSES, *causes_slurm.CAUSES)
LONGEST_EVIDENCE = 300
_COMPILED: t.Final = tuple((cause, re.compile(cause.pattern)) for cause in CAUSES)
# (EngineCore pid=7) ERROR 11-21 10:25:03 [core.py:1512] what is said
_PROCESS = r"^(?:\(\S+(?: \S+)* pid=\d+\)\s)?"
_CLOCK = r"(?:INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d [\d:]+ \[[^\]]+\]\s"
_PREFIX = re.compile(rf"{_PROCESS}(?:{_CLOCK})?")
# The last line of a traceback, or of a shell that gives up: shown where no cause is known.
_ERROR = re.compile(r"(?:^|\s)(?:[\w.]+(?:Error|Exception)|error|fatal)\b:? ?\S", re.IGNORECASE)
# What is only said is no failure, and that a task ended is what follows from one.
_SAID = re.compile(rf"{_PROCESS}(?:INFO|WARNING|DEBUG)\b|srun: error: \S+ tasks? \S+ Exited with")
# Where in the source a traceback stands, and the line of source itself, say what may go wrong, not what did.
_SOURCE = re.compile(rf'{_PROCESS}(?:{_CLOCK})?(?: *File "|\s{{4,}}\S)')


@dataclass(frozen=True)
class Evidence:
    """All that is known of a job. `logs`: name of a log -> its text."""

    model: str
    job_id: int | None = None
    reason: str = ""
    end: str = ""
    health: str = ""
    refusal: str = ""
    logs: dict[str, str] | None = None


@dataclass(frozen=True)
class Finding:
    """`sure`: a cause of the table. Without it, `cause` says that none is known, and `evidence` is the last error."""

    id: str
    cause: str
    fix: str
    evidence: str
    source: str
    sure: bool = True

    def as_json(self) -> dict[str, t.Any]:
        return asdict(self)


def diagnose(evidence: Evidence, *, worst: int | None = None) -> Finding | None:
    """The cause nearest to the root; None when nothing at all speaks of a failure.

    `worst`: the rank up to which causes count, of a job that may yet be well; no guess is made then.
    """
    found = [
        (cause.rank, place, cause, match, line, source)
        for place, (where, source, line) in enumerate(_lines(evidence))
        for cause, match in _matches(where, line)
        if worst is None or cause.rank <= worst
    ]
    if found:
        _rank, _place, cause, match, line, source = min(found, key=lambda one: one[:2])
        return _finding(cause, match, line, source, evidence)
    return _last_error(evidence) if worst is None else None


def _lines(evidence: Evidence) -> Iterator[tuple[Where, str, str]]:
    single: tuple[tuple[Where, str, str], ...] = (
        ("refusal", "sbatch", evidence.refusal),
        ("reason", "Slurm", evidence.reason),
        ("end", "Slurm", evidence.end),
        ("health", "the engine", evidence.health),
    )
    yield from ((where, source, text) for where, source, text in single if text)
    for source, log in (evidence.logs or {}).items():
        for line in last_start(log).splitlines():
            if not _SOURCE.match(line):
                yield "log", source, line


def _matches(where: Where, line: str) -> Iterator[tuple[Cause, re.Match[str]]]:
    for cause, pattern in _COMPILED:
        if cause.where == where:
            match = pattern.search(line)
            if match:
                yield cause, match


def _finding(cause: Cause, match: re.Match[str], line: str, source: str, evidence: Evidence) -> Finding:
    words = {name: harmless(value).strip() for name, value in match.groupdict().items() if value}
    words = {**dict.fromkeys(match.re.groupindex, ""), **words, **_names(evidence)}
    return Finding(
        id=cause.id,
        cause=_fill(cause.cause, words),
        fix=_fill(cause.fix, words),
        evidence=shown(line),
        source=source,
    )


def _names(evidence: Evidence) -> dict[str, str]:
    return {"model": evidence.model, "job_id": str(evidence.job_id or "JOBID")}


def _fill(text: str, words: dict[str, str]) -> str:
    filled = " ".join(text.format(**words).split()).replace("..", ".")
    return mask(re.sub(r" ([.,:])(?=\s|$)", r"\1", filled))


def shown(line: str) -> str:
    """A line of a log without the clock and the place in the source that stand before it, and without secrets."""
    bare = _PREFIX.sub("", line, count=1)
    return mask(harmless(bare)).strip()[:LONGEST_EVIDENCE]


def _last_error(evidence: Evidence) -> Finding | None:
    """No cause is known: the last line that looks like an error is what there is to go by."""
    for source, log in (evidence.logs or {}).items():
        lines = [line for line in last_start(log).splitlines() if _is_error(line)]
        if lines:
            return _unknown(evidence, shown(lines[-1]), source)
    if evidence.end:
        return _unknown(evidence, evidence.end, "Slurm")
    return None


def _is_error(line: str) -> bool:
    return bool(_ERROR.search(line)) and not _SOURCE.match(line) and not _SAID.match(line)


def _unknown(evidence: Evidence, line: str, source: str) -> Finding:
    return Finding(
        id="unknown",
        cause="No known cause fits. The line below is the last error that was written.",
        fix=f"Read `vllm-manager logs {evidence.job_id or evidence.model}` from its first error on.",
        evidence=line,
        source=source,
        sure=False,
    )
