"""What a person sees of a playbook: plays, long tasks, and a failure in its own words."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.progress import Progress, run_playbook

GOOD = """PLAY [Slurm on all hosts] ****
TASK [slurm : build | Look for a build] ****
TASK [slurm : build | Compile] ****
SLEEP
changed: [gpu1]
TASK [slurm : verify] ****
ok: [ctl]
PLAY RECAP ****
ctl : ok=2 changed=1 unreachable=0 failed=0
"""
BAD = """PLAY [Slurm on all hosts] ****
TASK [munge : install] ****
fatal: [ctl]: FAILED! =>
    msg: no such package
PLAY RECAP ****
ctl : ok=0 changed=0 unreachable=0 failed=1
"""


@pytest.fixture
def progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Progress:
    monkeypatch.setenv("LLMOPS_CACHE", str(tmp_path))
    return Progress(total=2, patience=0.5)


def _play(progress: Progress, folder: Path, prints: str, rc: int) -> str:
    code = f"""import sys, time
for line in {prints!r}.splitlines(keepends=True):
    time.sleep(1.5) if line == "SLEEP\\n" else print(line, end="", flush=True)
sys.exit({rc})"""
    return run_playbook(progress, [sys.executable, "-c", code], folder, {}, folder / "logs/site.log")


def test_plays_and_long_tasks_are_told(progress: Progress, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recap = _play(progress, tmp_path, GOOD, 0)
    told = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert told == ["Slurm on all hosts", "slurm : build | Compile"]
    assert recap.splitlines()[1] == "ctl : ok=2 changed=1 unreachable=0 failed=0"
    assert (tmp_path / "logs/site.log").read_text() == GOOD.replace("SLEEP\n", "")


def test_failure_names_task_words_and_log(progress: Progress, tmp_path: Path) -> None:
    with pytest.raises(LabError) as failure:
        _play(progress, tmp_path, BAD, 2)
    for word in ("munge : install", "no such package", str(tmp_path / "logs/site.log")):
        assert word in str(failure.value)


def test_phases_count_and_remember(progress: Progress, capsys: pytest.CaptureFixture[str]) -> None:
    progress.phase("Make the image", lambda: None)
    Progress(total=2).phase("Make the image", lambda: None)
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "[1/2] Make the image"
    assert told[2] == "[1/2] Make the image (last time 0 s)"
