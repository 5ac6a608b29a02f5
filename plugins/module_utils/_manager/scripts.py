# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job script says of itself: its options, its engine, where it will listen. Pure.

The scripts that the role vllm_jobs renders are the one truth about what a job is: `serve` submits them as they are, so
the job has the key that a playbook gives it.
"""

from __future__ import annotations

import json
import re
import shlex
import typing as t
from dataclasses import dataclass, field

from ansible_collections.llmops.cluster.plugins.module_utils._manager.errors import UNKNOWN, ManagerError

if t.TYPE_CHECKING:
    from ansible_collections.llmops.cluster.plugins.module_utils._vllm.classify import Task

Kind = t.Literal["serve", "batch"]
KINDS: tuple[Kind, ...] = ("serve", "batch")

_FILE = re.compile(r"(serve|batch)_([A-Za-z0-9][A-Za-z0-9._-]*)\.sh")
_DIRECTIVE = re.compile(r"^#SBATCH\s+--([a-z-]+)(?:[= ](.*?))?\s*$", re.MULTILINE)
_ENDPOINT = re.compile(r"^endpoint=(.+)$", re.MULTILINE)
_ENGINE = re.compile(r"^engine=\(\n(.*?)^\)$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Script:
    """A rendered job script. `port` and `served` are those of a serving job."""

    kind: Kind
    name: str
    path: str
    text: str
    job_name: str
    options: dict[str, str] = field(default_factory=dict)
    engine: tuple[str, ...] = ()
    model_id: str = ""
    revision: str = ""
    port: int | None = None
    served: tuple[str, ...] = ()

    @property
    def task(self) -> Task:
        """What kind of request proves that it works: by the words, which extra_args may hold too."""
        given = {word.partition("=")[0]: word.partition("=")[2] for word in self.engine if "=" in word}
        convert, runner = (self.flag(name) or given.get(name) for name in ("--convert", "--runner"))
        if convert == "classify":
            return "classify"
        return "embed" if convert == "embed" or runner == "pooling" else "generate"

    def flag(self, name: str) -> str | None:
        """The value that follows a flag of the engine."""
        words = list(self.engine)
        return words[words.index(name) + 1] if name in words[:-1] else None

    def gpus(self) -> str:
        """GPUs of one node as Slurm is asked for them; empty when none are."""
        return self.options.get("gres", "").removeprefix("gpu:")


def script_name(file_name: str) -> tuple[Kind, str] | None:
    """Kind and model of a file's name; None of a file that is no job script."""
    match = _FILE.fullmatch(file_name)
    return (t.cast("Kind", match[1]), match[2]) if match else None


def parse_script(text: str, path: str) -> Script:
    found = script_name(path.rpartition("/")[2])
    if found is None:
        raise ManagerError(f"Reading {path} failed: it is named like no job script (serve_NAME.sh, batch_NAME.sh).")
    kind, name = found
    options = {match[1]: match[2] or "" for match in _DIRECTIVE.finditer(text)}
    record = _record(text)
    engine = _words(_ENGINE, text)
    port = record.get("port")
    served = record.get("models")
    return Script(
        kind=kind,
        name=name,
        path=path,
        text=text,
        # The playbook gives the name to sbatch by itself, and so does the manager.
        job_name=job_name(kind, name),
        options=options,
        engine=engine,
        model_id=str(record.get("model_id") or _served(engine)),
        revision=str(record.get("revision") or ""),
        port=port if isinstance(port, int) else None,
        served=tuple(str(one) for one in served) if isinstance(served, list) else (),
    )


def job_name(kind: Kind, name: str) -> str:
    return f"vllm-{kind}-{name}"


def model_of(job: str) -> tuple[Kind, str] | None:
    """Kind and model of a job's name; a batch of the manager has what tells it from others behind a +."""
    for kind in KINDS:
        prefix = job_name(kind, "")
        if job.startswith(prefix) and len(job) > len(prefix):
            return kind, job[len(prefix) :].partition("+")[0]
    return None


def _record(text: str) -> dict[str, t.Any]:
    match = _ENDPOINT.search(text)
    if not match:
        return {}
    try:
        value = json.loads("".join(shlex.split(match[1])))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _words(pattern: re.Pattern[str], text: str) -> tuple[str, ...]:
    match = pattern.search(text)
    try:
        return tuple(shlex.split(match[1])) if match else ()
    except ValueError:
        return ()


def _served(engine: tuple[str, ...]) -> str:
    """The model of `vllm serve MODEL`."""
    return engine[2] if engine[1:2] == ("serve",) and len(engine) > 2 else ""


def no_such_model(name: str, known: list[str], suggestion: str, folder: str) -> ManagerError:
    if not known:
        return ManagerError(
            f"Looking for the model {name} failed: there is no job script in {folder}. "
            "Run the playbook deploy-vllm-models.yml first; it writes them.",
            UNKNOWN,
        )
    return ManagerError(
        f"Looking for the model {name} failed: it has no job script in {folder}.{suggestion} "
        f"Known models: {', '.join(known)}. Others are added to vllm_models and deployed by deploy-vllm-models.yml.",
        UNKNOWN,
    )
