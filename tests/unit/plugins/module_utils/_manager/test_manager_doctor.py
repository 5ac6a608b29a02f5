# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each recording leads to its cause. fixtures/doctor/README.md tells which of them were made by real engines."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._manager.causes import LIKELY
from ansible_collections.llmops.cluster.plugins.module_utils._manager.doctor import (
    CAUSES,
    Evidence,
    Finding,
    diagnose,
    shown,
)

RECORDINGS = Path(__file__).parents[3] / "fixtures" / "doctor"
FILES = sorted(path for path in RECORDINGS.glob("*/*") if path.suffix != ".md")


def evidence(path: Path) -> Evidence:
    """A recording as doctor gets it: .log is what a job wrote, the others are what was said about it."""
    text = path.read_text()
    if path.suffix == ".log":
        return Evidence("phi3", 7, end="FAILED (exit code 1)", logs={"serve_phi3_7.err": text})
    said: dict[str, Any] = {path.suffix[1:]: text.strip()}
    return Evidence("phi3", 7, **said)


def find(given: Evidence) -> Finding:
    found = diagnose(given)
    assert found is not None
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_recording_leads_to_its_cause(path: Path) -> None:
    found = find(evidence(path))
    assert found.id == path.stem.partition("--")[0]
    assert found.evidence
    assert found.fix


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_placeholder_is_left(path: Path) -> None:
    found = find(evidence(path))
    assert not re.search(r"[{}]|\bNone\b|  | \.", f"{found.cause} {found.fix}"), found


def test_every_cause_has_a_recording() -> None:
    assert {cause.id for cause in CAUSES} - {path.stem.partition("--")[0] for path in FILES} == set()


def test_ids_are_there_once() -> None:
    ids = [cause.id for cause in CAUSES]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.id)
def test_words_are_sentences(cause: object) -> None:
    for text in (cause.cause, cause.fix):  # type: ignore[attr-defined]
        assert text.endswith("."), text
        assert text[0].isupper() or text.startswith(("{", "`", "max_", "tensor_", "torch.", "/dev", "vLLM")), text


def test_the_root_goes_before_what_follows_from_it() -> None:
    log = (
        "RuntimeError: Engine core initialization failed. See root cause above.\n"
        "EngineDeadError: EngineCore encountered an issue.\n"
        "vllm: error: unrecognized arguments: --swap-space 4\n"
    )
    assert find(Evidence("phi3", logs={"err": log})).id == "unknown-option"


def test_of_two_roots_the_first_is_taken() -> None:
    log = "CUDA error: invalid device ordinal\nno kernel image is available for execution on the device\n"
    assert find(Evidence("phi3", logs={"err": log})).id == "gpu-missing-in-job"


def test_only_the_last_start_counts() -> None:
    log = (
        "Job 7 on gpu1, start number 1\nvllm: error: unrecognized arguments: --old\n"
        "Job 7 on gpu2, start number 2\nOSError: [Errno 98] Address already in use\n"
    )
    assert find(Evidence("phi3", logs={"err": log})).id == "port-in-use"


def test_what_was_written_before_a_requeue_does_not_count() -> None:
    log = (
        "OSError: [Errno 98] Address already in use\n"
        "slurmstepd: error: *** JOB 7 ON gpu1 CANCELLED AT 2026-11-21T10:11:12 DUE TO JOB REQUEUE ***\n"
        "vllm: error: unrecognized arguments: --new\n"
    )
    assert find(Evidence("phi3", logs={"err": log})).id == "unknown-option"


def test_a_retried_port_is_no_cause() -> None:
    log = "WARNING 11-21 10:11:12 [parallel.py:746] Address already in use. Retrying with a new port.\n"
    assert diagnose(Evidence("phi3", logs={"err": log})) is None


def test_source_lines_of_a_traceback_are_not_evidence() -> None:
    log = (
        "Traceback (most recent call last):\n"
        '  File "/opt/x.py", line 7, in f\n'
        '    raise ValueError("Address already in use")\n'
        "KeyError: 'rope_type'\n"
    )
    found = find(Evidence("phi3", 7, logs={"serve.err": log}))
    assert found == Finding(
        id="unknown",
        cause="No known cause fits. The line below is the last error that was written.",
        fix="Read `vllm-manager logs 7` from its first error on.",
        evidence="KeyError: 'rope_type'",
        source="serve.err",
        sure=False,
    )


def test_nothing_wrong_is_no_finding() -> None:
    log = "INFO 11-21 10:11:12 [launcher.py:46] Application startup complete.\n"
    assert diagnose(Evidence("phi3", 7, logs={"serve.out": log})) is None


def test_evidence_is_one_clean_line() -> None:
    line = "(EngineCore pid=9) ERROR 11-21 10:11:12 [core.py:1101] ValueError: api_key=sk-abcdefgh12345 \x1b[31mred"
    assert shown(line) == "ValueError: api_key=********  [31mred"


def test_the_words_name_numbers_of_the_line() -> None:
    log = "User-specified max_model_len (4096) is greater than the derived max_model_len (max_len=256 or"
    found = find(Evidence("phi3", logs={"err": log}))
    assert found.cause == "max_model_len is 4096, and the model was made for 256 tokens."
    assert found.fix == "Set max_model_len of phi3 to 256 or less and deploy again."


def test_a_job_that_may_yet_be_well_is_not_guessed_about() -> None:
    given = Evidence("phi3", logs={"err": "KeyError: 'x'\nEngineDeadError: x\n"})
    assert diagnose(given, worst=LIKELY) is None
    given = Evidence("phi3", logs={"err": "NCCL WARN Bootstrap : no socket interface found\n"})
    found = diagnose(given, worst=LIKELY)
    assert found is not None
    assert found.id == "no-interface"
