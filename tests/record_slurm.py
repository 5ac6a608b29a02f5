"""Record what a live Slurm answers, as input of the unit tests: `python -m tests.record_slurm FOLDER --on COMMAND`.

    python -m tests.record_slurm tests/unit/fixtures/slurm-26.05.5 --on 'ssh -F ssh_config ctl' --user vllm

Needs two nodes with GPUs at rest and takes about three minutes. COMMAND gets each command line as one more argument
(`ssh HOST`, `podman exec HOST bash -c`, what `tests.slurm_box start` prints; `bash -c` for this machine). It should be
root on a host where Slurm's commands work, because some of the states are an operator's to make. The jobs are made with
the modules' own arguments, one job a kind (`KINDS`), and cancelled at the end.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.llmops.cluster.plugins.module_utils._slurm import command
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.parse import submitted_job_id
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.spec import JobSpec, build_spec

NAME = "rec"
KEY = "0123456789abcdef"
TOOLS = command.Tools(sbatch="sbatch", squeue="squeue", scontrol="scontrol", scancel="scancel", sacct="sacct")
SCRIPTS = {
    "sleep": "#!/bin/sh\nexec sleep 900\n",
    "true": "#!/bin/sh\ntrue\n",
    "exit": "#!/bin/sh\nexit 3\n",
    "kill": "#!/bin/sh\nkill -9 $$\n",
    # The rest of such a job starts where the first line without a # is.
    "het": "#!/bin/sh\n#SBATCH --ntasks=1\n#SBATCH hetjob\n#SBATCH --ntasks=2\nexec sleep 900\n",
}
WHILE_RUNNING: dict[str, t.Any] = {"time": 30}


@dataclass(frozen=True)
class Kind:
    """One job: its script, its options, and what is done to it then. ID is its id, RUNNING waits until it runs."""

    script: str
    options: dict[str, t.Any] = field(default_factory=dict)
    then: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    # Which other job's id its options name as OTHER.
    other: str = ""
    chdir: str = ""


KINDS: dict[str, Kind] = {
    "completed": Kind("true"),
    "failed": Kind("exit"),
    "signalled": Kind("kill"),
    "running": Kind(
        "sleep",
        {**WHILE_RUNNING, "gres": "gpu:1", "output": "%x-%j.out", "error": "%j.err"},
        args=("--port", "8000", "JobState=FAILED", "two\nlines", "ExitCode=1:0"),
    ),
    "odd-paths": Kind("sleep", {**WHILE_RUNNING, "output": "o ut=%j 100%%j"}, chdir="/a b=c WorkDir"),
    "timeout": Kind("sleep", {"time": 1}),
    "cancelled": Kind("sleep", WHILE_RUNNING, ("RUNNING", "scancel ID")),
    "cancelled-waiting": Kind("sleep", {"begin": "now+1hour"}, ("scancel ID",)),
    "begin": Kind("true", {"begin": "now+1hour"}),
    "held": Kind("true", {"hold": True}),
    "held-admin": Kind("true", {"begin": "now+1hour"}, ("scontrol hold ID",)),
    "dependent": Kind("true", {"dependency": "afterok:OTHER"}, other="running"),
    "never": Kind("true", {"dependency": "afterok:OTHER", "kill-on-invalid-dep": "no"}, other="failed"),
    "array": Kind("sleep", {**WHILE_RUNNING, "array": "1-3%1"}),
    "het": Kind("het", WHILE_RUNNING),
    "requeued": Kind("sleep", WHILE_RUNNING, ("RUNNING", "scontrol requeue ID")),
    "requeue-held": Kind("sleep", WHILE_RUNNING, ("RUNNING", "scontrol requeuehold ID")),
    "special-exit": Kind("sleep", WHILE_RUNNING, ("RUNNING", "scontrol requeuehold State=SpecialExit ID")),
    "suspended": Kind("sleep", WHILE_RUNNING, ("RUNNING", "scontrol suspend ID")),
    # The last: a job that waits for whole nodes holds back those that come after it.
    "resources": Kind("true", {"nodes": 2, "exclusive": True, "time": 5}),
}


class Host:
    """Where Slurm's commands work, and the user whose jobs these are."""

    def __init__(self, on: str, user: str) -> None:
        self._on = shlex.split(on)
        self.user = user
        account = command.Account(name=user, home="/", shell="/bin/sh")
        self._reading = command.read_environment(account, {})
        self._base = command.base_environment(account, {})

    def shell(self, text: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self._on, text], input=given, capture_output=True, text=True, timeout=120)

    def words(self, argv: t.Sequence[str], *, reading: bool = True) -> subprocess.CompletedProcess[str]:
        """A command as the modules run it: with their environment and nothing else."""
        environment = self._reading if reading else self._base
        return self.shell(shlex.join(["env", "-i", *[f"{name}={value}" for name, value in environment.items()], *argv]))

    def submit(self, spec: JobSpec, script: str, *, test_only: bool = False) -> subprocess.CompletedProcess[str]:
        argv = command.sbatch(TOOLS, spec, spec.comment(KEY), script, test_only=test_only)
        return self.words(command.as_user(argv, self.user, "runuser"), reading=False)


def specification(host: Host, kind: Kind, folder: str, jobs: dict[str, int]) -> JobSpec:
    other = str(jobs.get(kind.other, 0))
    options = {
        name: value.replace("OTHER", other) if isinstance(value, str) else value for name, value in kind.options.items()
    }
    # An array is refused by the specification for now, and recorded all the same.
    array = options.pop("array", None)
    spec = build_spec(
        name=NAME,
        user=host.user,
        script=SCRIPTS[kind.script],
        script_path=None,
        chdir=f"{folder}{kind.chdir}",
        args=kind.args,
        options=options,
    )
    more = (f"--array={array}",) if array else ()
    return JobSpec(**{**vars(spec), "options": (*more, *spec.options)})


def make_jobs(host: Host, folder: str) -> dict[str, int]:
    for name, text in SCRIPTS.items():
        host.shell(f"cat > {folder}/{name}.sh && chmod 755 {folder}/{name}.sh", text)
    jobs: dict[str, int] = {}
    for name, kind in KINDS.items():
        host.shell(f"mkdir -p {shlex.quote(folder + kind.chdir)} && chmod 777 {shlex.quote(folder + kind.chdir)}")
        done = host.submit(specification(host, kind, folder, jobs), f"{folder}/{kind.script}.sh")
        job_id = submitted_job_id(done.stdout)
        if job_id is None:
            print(f"{name}: not to be had here: {done.stderr.strip()}")
            continue
        jobs[name] = job_id
        for action in kind.then:
            if action == "RUNNING":
                wait_for(host, job_id, action)
                continue
            acted = host.shell(action.replace("ID", str(job_id)))
            if acted.returncode:
                print(f"{name}: {action}: {acted.stderr.strip()}")
        print(f"{name}: job {job_id}", flush=True)
    return jobs


def wait_for(host: Host, job_id: int, state: str) -> None:
    for _second in range(180):
        if host.shell(f"squeue -h --states=all -j {job_id} -o %T").stdout.strip() == state:
            return
        time.sleep(1)


def save(folder: Path, name: str, answer: subprocess.CompletedProcess[str]) -> None:
    """The answer. JSON without its indentation: it says the same in a tenth of the space."""
    text = answer.stdout
    if name.endswith(".json"):
        try:
            found = json.loads(text)
        except ValueError:
            print(f"{name}: this Slurm gives no such JSON: {answer.stderr.strip().splitlines()[:1]}")
            return
        rows = found.pop("jobs", [])
        lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
        rest = json.dumps({name: value for name, value in found.items() if name in ("errors", "warnings")})[1:-1]
        text = f'{{"jobs": [\n{lines}\n]{", " if rest else ""}{rest}}}\n'
    (folder / name).write_text(text, encoding="utf-8")


def record(host: Host, folder: Path, jobs: dict[str, int]) -> None:
    save(folder, "squeue.json", host.words(command.squeue_named_json(TOOLS, NAME, host.user)))
    save(folder, "squeue.txt", host.words(command.squeue_named_text(TOOLS, NAME, host.user)))
    for kind in ("running", "odd-paths", "failed", "signalled", "timeout", "begin", "array", "het", "requeue-held"):
        if kind in jobs:
            save(folder, f"scontrol-{kind}.json", host.words(command.scontrol_job_json(TOOLS, jobs[kind])))
            save(folder, f"scontrol-{kind}.txt", host.words(command.scontrol_job_text(TOOLS, jobs[kind])))
    # slurmdbd writes a job down some seconds after it ended.
    time.sleep(6)
    for as_json, name in ((True, "sacct.json"), (False, "sacct.txt")):
        save(folder, name, host.words(command.sacct_named("sacct", [NAME], host.user, as_json=as_json)))


def record_failures(host: Host, where: str) -> dict[str, dict[str, t.Any]]:
    """What the commands say when they cannot do it: exit status and both outputs."""
    nobody = 99999999
    spec = build_spec(name=NAME, user=host.user, script=SCRIPTS["true"], script_path=None, chdir=where)
    tried = {
        "squeue-unknown-job": host.words(command.squeue_jobs_text(TOOLS, [nobody])),
        "scontrol-unknown-job": host.words(command.scontrol_job_text(TOOLS, nobody)),
        "scontrol-unknown-job-json": host.words(command.scontrol_job_json(TOOLS, nobody)),
        "sacct-unknown-job": host.words(command.sacct_jobs("sacct", [nobody], as_json=False)),
        "sbatch-test-only": host.submit(spec, f"{where}/true.sh", test_only=True),
    }
    for name, options in {
        "sbatch-no-partition": {"partition": "nowhere"},
        "sbatch-no-account": {"account": "nobody"},
        "sbatch-too-many-gpus": {"gres": "gpu:999"},
        "sbatch-bad-time": {"time": "soon"},
    }.items():
        refused = build_spec(
            name=NAME, user=host.user, script=SCRIPTS["true"], script_path=None, chdir=where, options=options
        )
        tried[name] = host.submit(refused, f"{where}/true.sh", test_only=True)
    # A controller that is not there: the cluster's own configuration with a port where nobody listens.
    conf = f"{where}/nobody.conf"
    host.shell(f"sed -E 's/^SlurmctldPort=.*//' $(scontrol show config | awk '/^SLURM_CONF/ {{print $3}}') > {conf}")
    host.shell(f"echo SlurmctldPort=9 >> {conf}; chmod 644 {conf}")
    for name, argv in {
        "squeue-no-controller": command.squeue_named_text(TOOLS, NAME, host.user),
        "squeue-json-no-controller": command.squeue_named_json(TOOLS, NAME, host.user),
        "scontrol-no-controller": command.scontrol_job_text(TOOLS, 1),
        "sbatch-no-controller": command.sbatch(TOOLS, spec, spec.comment(KEY), f"{where}/true.sh"),
    }.items():
        tried[name] = host.words(["env", f"SLURM_CONF={conf}", *argv])
    return {
        name: {"rc": done.returncode, "out": done.stdout[:400], "err": done.stderr.replace(where, "/srv/jobs")}
        for name, done in tried.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the answers go: tests/unit/fixtures/slurm-VERSION")
    parser.add_argument("--on", default="bash -c", help="how a command line gets to the cluster")
    parser.add_argument("--user", default="vllm", help="whose jobs these are")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    host = Host(given.on, given.user)
    where = host.shell("d=$(mktemp -d /srv/record.XXXXXX) && chmod 777 $d && echo $d").stdout.strip()
    jobs = make_jobs(host, where)
    try:
        wait_for(host, jobs["timeout"], "TIMEOUT")
        record(host, given.folder, jobs)
        about = {
            "version": host.shell("squeue --version").stdout.strip(),
            "separator": command.SEPARATOR,
            "user": given.user,
            "folder": where,
            "jobs": jobs,
            "failures": record_failures(host, where),
        }
        (given.folder / "about.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    finally:
        host.shell(f"scancel --user={given.user} --name={NAME}; rm -rf {where}")


if __name__ == "__main__":
    main()
