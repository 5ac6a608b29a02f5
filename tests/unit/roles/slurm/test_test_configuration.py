# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The script that reads a new configuration before it is used, with stand-ins for Slurm's own parsers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[4] / "roles" / "slurm" / "files" / "test_configuration.sh"
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
SLURMD = """#!/bin/sh
folder=$(dirname "$5")
if grep -q Foo "$folder/cgroup.conf"; then
  echo "slurmd: error: _parse_next_key: Parsing error at unrecognized key: ConstrainFoo" >&2
  echo "slurmd: fatal: Could not open/read/parse cgroup.conf file $folder/cgroup.conf" >&2
  exit 1
fi
echo "slurmd: error: Unable to initialize cgroup plugin" >&2
exit 1
"""


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    for folder in ("bin", "sbin", "lib/slurm", "tmp"):
        (tmp_path / folder).mkdir(parents=True)
    for program, text in (("bin/scontrol", SCONTROL), ("sbin/slurmd", SLURMD)):
        (tmp_path / program).write_text(text)
        (tmp_path / program).chmod(0o755)
    for plugin in ("sched_backfill", "task_affinity", "task_cgroup"):
        (tmp_path / f"lib/slurm/{plugin}.so").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        pytest.param("slurm.conf", "ClusterName=a\nSchedulerType=sched/backfill\n", "", id="fine"),
        pytest.param("slurm.conf", "TaskPlugin=task/affinity,task/cgroup\nMpiDefault=none\n", "", id="several plugins"),
        pytest.param(
            "slurm.conf",
            "CredType=cred/slurm\nLaunchType=launch/slurm\n",
            "",
            id="plugins inside of others, and gone ones",
        ),
        pytest.param(
            "slurm.conf", "TaskPlugin=task/none\nAccountingStorageTRES=gres/gpu\n", "", id="none, and no plugin at all"
        ),
        pytest.param(
            "slurm.conf",
            "SlurmctldTimout=5\n",
            "slurm.conf: Parsing error at unrecognized key: SlurmctldTimout\n"
            'slurm.conf: Parse error in file slurm.conf line 1: "SlurmctldTimout=5"\n'
            "slurm.conf: Unable to process configuration file\n",
            id="unknown key",
        ),
        pytest.param(
            "slurm.conf",
            "TaskPlugin=task/affinity,task/x\nSchedulerType=sched/y\n",
            'slurm.conf: TaskPlugin value "task/x": this Slurm has no plugin task_x.so\n'
            'slurm.conf: SchedulerType value "sched/y": this Slurm has no plugin sched_y.so\n',
            id="unknown plugins",
        ),
        pytest.param("cgroup.conf", "ConstrainCores=yes\n", "", id="fine, on a host without cgroups"),
        pytest.param(
            "cgroup.conf",
            "ConstrainFoo=yes\n",
            "cgroup.conf: Parsing error at unrecognized key: ConstrainFoo\n"
            "cgroup.conf: Could not open/read/parse cgroup.conf file cgroup.conf\n",
            id="unknown key of cgroup.conf",
        ),
    ],
)
def test_what_stops_slurm_is_said(prefix: Path, name: str, text: str, words: str) -> None:
    done = subprocess.run(
        ["sh", "-c", SCRIPT.read_text(), "test", str(prefix), name],
        input=text,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(prefix / "tmp")},
    )
    assert (done.returncode, done.stdout, done.stderr) == (1 if words else 0, words, "")
    assert list((prefix / "tmp").iterdir()) == [], "nothing is left behind"
