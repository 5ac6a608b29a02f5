# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program as Slurm calls it, with a fake scontrol, squeue, sdiag and nvidia-smi, and processes that are real."""

from __future__ import annotations

import ast
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llmops.cluster.roles.node_health.files.node_health import ending, host, inspection, main, run
from ansible_collections.llmops.cluster.roles.node_health.files.node_health.checks import Outcome

# Keeps the node in a file, as slurmctld would, and writes down what it was told.
SCONTROL = """#!/bin/sh
cd "$(dirname "$0")"
case $1 in
  show) cat node.json ;;
  update) printf '%s\\n' "$*" >>told ;;
esac
"""
FINE = "0, 00000000:35:00.0, 0, No, No, No, None\n1, 00000000:36:00.0, 0, No, No, No, None\n"


@dataclass
class Bench:
    """A node of fakes."""

    folder: Path
    changes: dict[str, Any] = field(default_factory=dict)

    def script(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def node(self, *state: str, reason: str = "") -> None:
        node = {"name": "gpu1", "state": list(state), "reason": reason, "gres": "gpu:l4:2"}
        (self.folder / "node.json").write_text(json.dumps({"nodes": [node]}))

    def smi(self, text: str) -> None:
        self.script("nvidia-smi", f"#!/bin/sh\ncat <<'E'\n{text}E\n")

    def call(self, mode: str, **environment: str) -> int:
        settings = {
            "node": "gpu1",
            "slurm_bin": str(self.folder),
            "gpu_source": "nvidia-smi",
            "gpu_count": -1,
            "gpu_files": [str(self.folder / "nvidia0"), str(self.folder / "nvidia1")],
            "nvidia_smi": str(self.folder / "nvidia-smi"),
            "nvidia_smi_timeout": 5,
            "max_uncorrected_ecc": 0,
            "fatal_xids": [79],
            "disks": [{"path": str(self.folder), "min_free_mb": 0}],
            "mounts": ["/proc"],
            "file_timeout": 5,
            "clock_max_skew": 0,
            "clock_max_offset": 0,
            "clock_synchronised": False,
            "kill_grace": 0.3,
        } | self.changes
        path = self.folder / "settings.json"
        path.write_text(json.dumps(settings))
        return main.main([mode], str(path), str(self.folder / "run"), environment)

    @property
    def told(self) -> list[str]:
        path = self.folder / "told"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench(tmp_path)
    monkeypatch.setattr(host, "DRIVER", str(tmp_path / "settings.json"))
    made.script("scontrol", SCONTROL)
    made.script("squeue", "#!/bin/sh\necho 12\n")
    made.smi(FINE)
    for number in range(2):
        (tmp_path / f"nvidia{number}").touch()
    made.node("IDLE")
    return made


def drained(words: str) -> str:
    return f"update nodename=gpu1 state=drain reason=node_health: {words} (resumes by itself)"


def test_a_node_that_is_well_is_left_alone(bench: Bench) -> None:
    assert (bench.call("check"), bench.told) == (0, [])


def test_a_gpu_that_is_missing_drains_and_its_return_resumes(bench: Bench) -> None:
    gone = bench.folder / "nvidia1"
    gone.unlink()
    words = f"GPU missing: no device file {gone}"
    assert (bench.call("check"), bench.told) == (0, [drained(words)])
    bench.node("IDLE", "DRAIN", reason=f"node_health: {words} (resumes by itself)")
    assert (bench.call("check"), len(bench.told)) == (0, 1)
    gone.touch()
    bench.call("check")
    assert bench.told[1:] == ["update nodename=gpu1 state=resume"]


def test_the_drain_of_an_admin_is_left_alone(bench: Bench) -> None:
    bench.node("IDLE", "DRAIN", reason="fan")
    bench.call("check")
    (bench.folder / "nvidia1").unlink()
    assert (bench.call("check"), bench.told) == (0, [])


def test_an_older_nvidia_smi_is_asked_for_less(bench: Bench) -> None:
    refusal = 'Field "gpu_recovery_action" is not a valid field to query.'
    rows = FINE.replace(", None", "")
    bench.script(
        "nvidia-smi",
        f"#!/bin/sh\ncase $1 in *gpu_recovery_action*) echo '{refusal}'; exit 2 ;; esac\ncat <<'E'\n{rows}E\n",
    )
    assert (bench.call("check"), bench.told) == (0, [])


def test_no_second_nvidia_smi_is_started_while_one_hangs(bench: Bench) -> None:
    # A process in the kernel's hands cannot be killed; what stands in for it holds the lock that it would have.
    bench.changes["nvidia_smi_timeout"] = 0.3
    started = bench.folder / "started"
    bench.script("nvidia-smi", f"#!/bin/sh\necho >>{started}\nsetsid sleep 30 &\necho $! >{bench.folder}/pid\nwait\n")
    bench.call("check")
    assert bench.told == [drained("nvidia-smi gave no answer in time")]
    bench.call("check")
    assert "nvidia-smi hangs since " in bench.told[1]
    assert len(started.read_text().splitlines()) == 1
    os.kill(int((bench.folder / "pid").read_text()), signal.SIGKILL)
    bench.smi(FINE)
    bench.node("IDLE", "DRAIN", reason="node_health: nvidia-smi gave no answer in time (resumes by itself)")
    deadline = time.monotonic() + 5
    while "update nodename=gpu1 state=resume" not in bench.told and time.monotonic() < deadline:
        bench.call("check")
    assert bench.told[-1] == "update nodename=gpu1 state=resume"


def test_a_look_that_began_just_now_is_no_hanging_one(tmp_path: Path) -> None:
    """Two prologs at once: the lock's file is hours old, and the other has only just taken it."""
    lock = tmp_path / "stat.lock"
    lock.touch()
    os.utime(lock, (1, 1))
    with lock.open("r+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        found = run.Runner(str(tmp_path)).run("stat", ["true"], 5)
    assert (found.how, found.code) == ("ended", 0)


def test_a_fault_that_the_kernel_told_of_lasts_until_it_is_forgotten(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "kernel_log", lambda: ["2,1,5,-;NVRM: Xid (PCI:0000:44:00): 79, GPU has fallen off"])
    bench.call("check")
    # The kernel's log is a ring, and the record is overwritten.
    monkeypatch.setattr(host, "kernel_log", list)
    bench.call("check")
    words = "GPU 0000:44:00 is in error: XID 79, GPU has fallen off"
    assert bench.told == [drained(words), drained(words)]
    assert bench.call("prolog") == 1
    bench.call("forget-xids")
    assert (bench.call("prolog"), len(bench.told)) == (0, 3)


def test_a_prolog_asks_no_controller_of_a_node_that_is_well(bench: Bench) -> None:
    bench.script("scontrol", f"#!/bin/sh\necho >>{bench.folder}/asked\n")
    started = time.monotonic()
    assert bench.call("prolog", SLURM_JOB_ID="12", SLURM_JOB_GPUS="0") == 0
    assert time.monotonic() - started < 1
    assert not (bench.folder / "asked").exists()


def test_a_prolog_that_finds_a_fault_drains_and_fails(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.changes["mounts"] = ["/proc/nowhere", "/proc"]
    assert bench.call("prolog", SLURM_JOB_ID="12") == 1
    assert bench.told == [drained("mount gone: /proc/nowhere")]
    assert "node_health: job 12 is not started here: mount gone: /proc/nowhere" in capsys.readouterr().err


def test_a_prolog_believes_the_nodes_configuration_rather_than_an_older_check(bench: Bench) -> None:
    both = [str(bench.folder / name) for name in ("nvidia0", "nvidia1")]
    bench.call("check")
    (bench.folder / "nvidia1").unlink()
    assert (bench.call("prolog"), bench.told) == (1, [drained(f"GPU missing: no device file {both[1]}")])
    bench.changes["gpu_files"] = both[:1]
    assert (bench.call("prolog"), len(bench.told)) == (0, 1)


def test_a_prolog_fails_where_the_controller_does_not_answer(bench: Bench) -> None:
    bench.script("scontrol", "#!/bin/sh\necho 'Unable to contact slurm controller' >&2\nexit 1\n")
    bench.changes["mounts"] = ["/nowhere"]
    assert bench.call("prolog", SLURM_JOB_ID="12") == 1


@pytest.mark.parametrize("mode", ["check", "prolog", "epilog"])
@pytest.mark.parametrize(
    "change", [{"disks": None}, {"new": 1}, {"mounts": 7}, {"kill_grace": "a"}], ids=lambda change: next(iter(change))
)
def test_a_fault_of_our_own_harms_no_node(
    bench: Bench, mode: str, change: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    bench.changes = change
    assert (bench.call(mode, SLURM_JOB_ID="12", SLURM_JOB_UID="0"), bench.told) == (0, [])
    if "kill_grace" not in change:
        assert f"node_health: {mode} failed and changed nothing: TypeError" in capsys.readouterr().err


def test_a_prolog_misses_the_driver_that_the_last_check_saw(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.call("check")
    monkeypatch.setattr(host, "DRIVER", str(bench.folder / "unloaded"))
    assert (bench.call("prolog"), bench.told) == (1, [drained("the NVIDIA driver is not loaded")])


def test_look_tells_and_changes_nothing(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.call("look") == 0
    assert capsys.readouterr().out == "nothing is wrong\nThe next health check would leave the node: it is well\n"
    bench.smi("No devices were found\n")
    bench.script("nvidia-smi", "#!/bin/sh\necho No devices were found\nexit 6\n")
    assert (bench.call("look"), bench.told) == (1, [])
    assert capsys.readouterr().out.startswith("GPU missing: nvidia-smi finds none\n")


def test_an_unknown_mode(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["chek"]) == 2
    assert capsys.readouterr().err == "usage: node-health check|look|prolog|epilog|forget-xids\n"


@pytest.fixture
def sleeper() -> Iterator[Any]:
    """Starts processes of a job; most of them shrug at SIGTERM."""
    begun: list[subprocess.Popen[bytes]] = []

    def start(job: str | None, stubborn: bool = False) -> subprocess.Popen[bytes]:
        code = "import signal, time\n" + ("signal.signal(15, signal.SIG_IGN)\n" if stubborn else "")
        code += "print('up', flush=True)\ntime.sleep(60)"
        environment = {"SLURM_JOB_ID": job} if job else {}
        process = subprocess.Popen([sys.executable, "-I", "-c", code], env=environment, stdout=subprocess.PIPE)
        begun.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        return process

    yield start
    for process in begun:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_an_epilog_ends_what_its_job_left_and_nothing_else(
    bench: Bench, sleeper: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, stubborn = sleeper("12000001"), sleeper("12000001", stubborn=True)
    others = [sleeper("12000002"), sleeper(None)]
    # The program takes nothing that root started for a job's; tests often run as root.
    found = host.processes_of
    monkeypatch.setattr(host, "processes_of", lambda uid, files: found(os.getuid(), files))
    assert bench.call("epilog", SLURM_JOB_ID="12000001", SLURM_JOB_UID="4711") == 0
    assert (left.wait(5), stubborn.wait(5)) == (-signal.SIGTERM, -signal.SIGKILL)
    assert [one.poll() for one in others] == [None, None]


@pytest.mark.parametrize(("job", "uid"), [("12000001", "0"), ("", "4711"), ("12000001", ""), ("x", "4711")])
def test_an_epilog_that_does_not_know_whose_ends_nothing(bench: Bench, sleeper: Any, job: str, uid: str) -> None:
    one = sleeper("12000001")
    assert bench.call("epilog", SLURM_JOB_ID=job, SLURM_JOB_UID=uid) == 0
    assert one.poll() is None


def test_processes_that_do_not_end_drain_the_node_until_they_do(
    bench: Bench, sleeper: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = sleeper("12000001")
    process = next(known for known in host.processes_of(os.getuid(), []) if known.pid == one.pid)
    monkeypatch.setattr(ending, "end", lambda find, grace: (1, [process]))
    assert bench.call("epilog", SLURM_JOB_ID="12000001", SLURM_JOB_UID="4711") == 0
    words = f"job 12000001 left processes that do not end: {one.pid}"
    assert bench.told == [drained(words)]
    bench.node("IDLE", "DRAIN", reason=f"node_health: {words} (resumes by itself)")
    bench.call("check")
    assert len(bench.told) == 1
    one.kill()
    one.wait()
    bench.call("check")
    assert bench.told[1:] == ["update nodename=gpu1 state=resume"]


def test_other_jobs_of_a_user_are_asked_of_slurm(bench: Bench) -> None:
    slurm = main.Slurm(run.Runner(str(bench.folder)), str(bench.folder), "gpu1")
    assert (slurm.has_other_jobs("12", 1), slurm.has_other_jobs("13", 1)) == (False, True)
    bench.script("squeue", "#!/bin/sh\nexit 1\n")
    assert slurm.has_other_jobs("12", 1)


def test_the_clock_of_the_controller(bench: Bench) -> None:
    slurm = main.Slurm(run.Runner(str(bench.folder)), str(bench.folder), "gpu1")
    bench.script("sdiag", "#!/bin/sh\necho 'sdiag output at Sat Nov 21 07:00:00 2026 (1795244400)'\n")
    assert slurm.time() == 1795244400
    bench.script("sdiag", "#!/bin/sh\nexit 1\n")
    assert slurm.time() is None


def test_programs_run_side_by_side(tmp_path: Path) -> None:
    runner = run.Runner(str(tmp_path))
    started = time.monotonic()
    for name in ("a", "b", "c"):
        runner.start(name, ["sh", "-c", "sleep 0.3; echo $0; echo err >&2; exit 3", name], 5)
    outcomes = [runner.finish(name) for name in ("c", "b", "a")]
    assert time.monotonic() - started < 0.9
    assert outcomes == [Outcome("ended", 3, f"{name}\n", "err\n") for name in ("c", "b", "a")]


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    assert run.Runner(str(tmp_path)).run("x", [str(tmp_path / "no")], 1).how == "missing"
    (tmp_path / "dull").write_text("no program")
    assert run.Runner(str(tmp_path)).run("x", [str(tmp_path / "dull")], 1).how == "ended"


PROGRAM = Path(main.__file__).parent


@pytest.mark.parametrize("path", sorted(PROGRAM.glob("*.py")), ids=lambda path: path.name)
def test_it_is_written_for_python_3_9(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    # What the annotations say of newer types is never looked at.
    assert (
        any(isinstance(one, ast.ImportFrom) and one.module == "__future__" for one in tree.body) or len(tree.body) == 1
    )


def test_the_role_writes_the_settings_that_it_reads() -> None:
    text = (PROGRAM.parents[1] / "templates" / "node_health.json.j2").read_text()
    assert tuple(re.findall(r"^  '(\w+)':", text, re.MULTILINE)) == inspection.Settings._fields


def test_the_role_copies_all_of_it() -> None:
    role = PROGRAM.parents[1]
    known = yaml.safe_load((role / "vars" / "main.yml").read_text())["__node_health_files"]
    there = [path for path in (role / "files").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert sorted(known) == sorted(str(path.relative_to(role / "files")) for path in there)


@pytest.mark.parametrize(
    "name", ["node-health", "node-health-check", "prolog.d/50-node-health", "epilog.d/50-node-health"]
)
def test_its_commands_are_executable(name: str) -> None:
    assert os.access(PROGRAM.parent / name, os.X_OK)
