# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._slurm import command
from ansible_collections.llmops.cluster.plugins.module_utils._slurm import run as run_file
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.run import Completed, run
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.spec import build_spec

TOOLS = command.Tools(sbatch="/b/sbatch", squeue="/b/squeue", scontrol="/b/scontrol", scancel="/b/scancel")
ACCOUNT = command.Account(name="vllm", home="/home/vllm", shell="/bin/sh")


def test_sbatch() -> None:
    spec = build_spec(
        name="phi3",
        user="vllm",
        script="#!/bin/sh\n",
        script_path="/s.sh",
        chdir="/home/vllm",
        args=["--port", "8000", "$(x) 'y'"],
        options={"time": "1:00:00", "requeue": True},
        environment={"API_KEY": "s3cret"},
    )
    assert command.sbatch(TOOLS, spec, "llmops:phi3:k", "/s.sh") == [
        "/b/sbatch",
        "--parsable",
        "--job-name=phi3",
        "--comment=llmops:phi3:k",
        "--chdir=/home/vllm",
        "--export=ALL",
        "--requeue",
        "--time=1:00:00",
        "/s.sh",
        "--port",
        "8000",
        "$(x) 'y'",
    ]
    assert command.sbatch(TOOLS, spec, "c", "/s.sh", test_only=True)[:3] == ["/b/sbatch", "--parsable", "--test-only"]


def test_as_another_user() -> None:
    assert command.as_user(["scancel", "1"], "vllm", "/sbin/runuser") == [
        "/sbin/runuser",
        "-u",
        "vllm",
        "--",
        "scancel",
        "1",
    ]
    assert command.as_user(["scancel", "1"], "vllm", None) == ["scancel", "1"]


def test_nothing_of_the_session_reaches_the_job() -> None:
    session = {
        "SLURM_JOB_ID": "7",
        "SBATCH_PARTITION": "debug",
        "SQUEUE_FORMAT": "%i",
        "HF_TOKEN": "hf_x",
        "SSH_CONNECTION": "x",
        "SLURM_CONF": "/opt/etc/slurm.conf",
    }
    assert command.base_environment(ACCOUNT, session) == {
        "HOME": "/home/vllm",
        "LANG": "C.UTF-8",
        "LOGNAME": "vllm",
        "PATH": command.PATH,
        "SHELL": "/bin/sh",
        "SLURM_CONF": "/opt/etc/slurm.conf",
        "USER": "vllm",
    }


def test_scancel_names_what_the_id_must_belong_to() -> None:
    assert command.scancel(TOOLS, [1, 2], "phi3", "vllm") == ["/b/scancel", "--user=vllm", "--name=phi3", "1", "2"]


def test_sacct_looks_back_further_than_midnight() -> None:
    assert command.sacct_named("sacct", ["phi3"], None, as_json=True) == [
        "sacct",
        "--json",
        "--starttime=2000-01-01",
        "--allusers",
        "--name=phi3",
    ]


def test_run_gives_the_environment_and_nothing_else() -> None:
    done = run([sys.executable, "-c", "import os; print(sorted(os.environ))"], {"A": "1", "LC_ALL": "C"})
    assert (done.rc, done.out) == (0, "['A', 'LC_ALL']\n")


@pytest.mark.parametrize(("cwd", "used"), [("/usr", "/usr\n"), ("/no/such/directory", "/\n")])
def test_run_goes_where_it_can(cwd: str, used: str) -> None:
    assert run(["pwd"], {"PATH": "/usr/bin:/bin"}, cwd=cwd).out == used


def test_run_stops_what_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_file, "COMMAND_SECONDS", 0.2)
    done = run([sys.executable, "-c", "import time; time.sleep(60)"], {})
    assert done.rc is None


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        pytest.param(Completed((), None, "", ""), "no answer within 90 seconds", id="stopped"),
        pytest.param(Completed((), 1, "", " a\n\nb\n"), "a; b", id="lines"),
        pytest.param(Completed((), 1, "out", ""), "out", id="on-stdout"),
        pytest.param(Completed((), 3, "", ""), "exit code 3 and no message", id="silent"),
    ],
)
def test_complaint(answer: Completed, complaint: str) -> None:
    assert answer.complaint == complaint


def test_what_the_loader_acts_on_is_kept_from_runuser() -> None:
    given = {"PATH": "/bin", "LD_PRELOAD": "/home/vllm/x.so", "GLIBC_TUNABLES": "a=b", "OLD_LD_PRELOAD": "c"}
    assert command.apart_from_the_loader(given) == (
        {"PATH": "/bin", "OLD_LD_PRELOAD": "c"},
        ["/usr/bin/env", "LD_PRELOAD=/home/vllm/x.so", "GLIBC_TUNABLES=a=b"],
    )
    assert command.apart_from_the_loader({"PATH": "/bin"}) == ({"PATH": "/bin"}, [])
