# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The script that reads a new slurm.conf before it is used, with a stand-in for Slurm's own parser."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[4] / "roles" / "slurm" / "files" / "test_slurm_conf.sh"
# As Slurm 24.11.5 and 26.05.5 answer.
SCONTROL = """#!/bin/sh
if grep -q Timout "$SLURM_CONF"; then
  echo "scontrol: error: _parse_next_key: Parsing error at unrecognized key: SlurmctldTimout" >&2
  echo "scontrol: error: Parse error in file $SLURM_CONF line 1: \\"SlurmctldTimout=5\\"" >&2
  echo "scontrol: fatal: Unable to process configuration file" >&2
  exit 1
fi
echo localhost
"""


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    for folder in ("bin", "lib/slurm", "tmp"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "bin/scontrol").write_text(SCONTROL)
    (tmp_path / "bin/scontrol").chmod(0o755)
    for plugin in ("sched_backfill", "task_affinity", "task_cgroup"):
        (tmp_path / f"lib/slurm/{plugin}.so").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("ClusterName=a\nSchedulerType=sched/backfill\n", "", id="fine"),
        pytest.param("TaskPlugin=task/affinity,task/cgroup\nMpiDefault=none\n", "", id="several plugins"),
        pytest.param(
            "CredType=cred/slurm\nLaunchType=launch/slurm\n", "", id="plugins inside of others, and gone ones"
        ),
        pytest.param("TaskPlugin=task/none\nAccountingStorageTRES=gres/gpu\n", "", id="none, and no plugin at all"),
        pytest.param(
            "SlurmctldTimout=5\n",
            "Parsing error at unrecognized key: SlurmctldTimout\n"
            'Parse error in file slurm.conf line 1: "SlurmctldTimout=5"\n'
            "Unable to process configuration file\n",
            id="unknown key",
        ),
        pytest.param(
            "TaskPlugin=task/affinity,task/x\nSchedulerType=sched/y\n",
            'TaskPlugin value "task/x": this Slurm has no plugin task_x.so\n'
            'SchedulerType value "sched/y": this Slurm has no plugin sched_y.so\n',
            id="unknown plugins",
        ),
    ],
)
def test_what_stops_slurm_is_said(prefix: Path, text: str, words: str) -> None:
    done = subprocess.run(
        ["sh", "-c", SCRIPT.read_text(), "test", str(prefix)],
        input=text,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(prefix / "tmp")},
    )
    assert (done.returncode, done.stdout, done.stderr) == (1 if words else 0, words, "")
    assert list((prefix / "tmp").iterdir()) == [], "nothing is left behind"
