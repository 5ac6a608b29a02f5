"""The cluster that faults happen to: what is put on it once, how it is looked at, how it is made whole again."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import ansible

from lab import podman
from lab.settings import CHECKOUT
from tests.cluster import Cluster

from .model import Found

HERE = Path(__file__).parent
# /home/vllm is one folder on all hosts, and a folder of this machine.
FOLDER = "/home/vllm/faults"
USER = "vllm"
STRANGER = "stranger"
SLURM = "/opt/slurm/current"

_BEGIN = f'#!/bin/bash\necho "$SLURM_JOB_ID $SLURMD_NODENAME" >> {FOLDER}/begun/"$SLURM_JOB_NAME"\n'
SCRIPTS = {
    "serve-v1": f"{_BEGIN}: version 1\nexec sleep 3600\n",
    "serve-v2": f"{_BEGIN}: version 2\nexec sleep 3600\n",
    "foreign": f"{_BEGIN}: not ours\nexec sleep 3600\n",
    "stubborn": f"{_BEGIN}trap '' TERM\nfor i in $(seq 3600); do sleep 1; done\n",
    "ends": f"{_BEGIN}exit 0\n",
    "works-12s": f"{_BEGIN}sleep 12\n",
    "fails": f"{_BEGIN}echo 'no such model: phi9'\nexit 3\n",
    "fails-late": f"{_BEGIN}sleep 4\necho 'out of memory on device 0'\nexit 1\n",
    "dies": f"{_BEGIN}kill -SEGV $$\n",
}


def _real(tool: str) -> str:
    """Shell words for the real command, whether or not a fake stands in front of it."""
    return f"$([ -e {SLURM}/real/{tool} ] && echo {SLURM}/real/{tool} || echo {SLURM}/bin/{tool})"


@dataclass
class Stage:
    cluster: Cluster
    # What the injection adds to the environment of calls.
    environment: dict[str, str] = field(default_factory=dict)
    # Part of all names: accounting of a lab that is kept remembers the jobs of earlier runs.
    session: str = field(default_factory=lambda: f"{int(time.time()):x}")
    # The job of the fault, for commands: $name and $id (of the job that the first call made).
    job_name: str = ""
    job_id: int | None = None
    strict: bool = True

    @property
    def folder(self) -> Path:
        """The folder of faults as this machine sees it."""
        return self.cluster.lab.state / "shared-home" / "faults"

    def run(self, command: str, host: str = "ctl", check: bool = True) -> str:
        words = f"name={self.job_name}; id={self.job_id or ''}; {command}"
        return podman.exec_in(self.cluster.lab.container(host), ["bash", "-c", words], check=check)

    def start(self, command: str, host: str = "ctl") -> None:
        podman.run("exec", "--detach", self.cluster.lab.container(host), "bash", "-c", command)

    def restarts(self) -> int:
        """How often systemd has started the controller again."""
        return int(self.run("systemctl show --property=NRestarts --value slurmctld"))

    def restarted(self, before: int, patience: float) -> bool:
        """Whether it was started again since; systemd counts that some seconds after the old one was killed."""
        ends = time.monotonic() + patience
        while self.restarts() <= before and time.monotonic() < ends:
            time.sleep(0.5)
        return self.restarts() > before

    def happened(self, what: str, so: bool) -> None:
        """A fault that did not happen proves nothing. (A plain script may never come to where it strikes.)"""
        if not so:
            self.note(f"NOT SO: {what}")
        assert so or not self.strict, f"the fault did not happen: {what}"

    def filled(self, value: object) -> object:
        """An option with @other replaced by the id of the job that an injection made."""
        if not isinstance(value, str) or "@other" not in value:
            return value
        return value.replace("@other", (self.folder / "state/other").read_text().strip())

    def note(self, text: str) -> None:
        print(f"  {time.strftime('%H:%M:%S')} {text}", flush=True)

    def prepare(self) -> None:
        """Users, scripts, and the collection as it lies here; once a session."""
        for host in ("ctl", "gpu1", "gpu2"):
            self.run(
                f"for u in {USER}:403 {STRANGER}:2001; do id ${{u%:*}} >/dev/null 2>&1 || "
                "useradd --uid ${u#*:} --home-dir /home/vllm --no-create-home --shell /bin/bash ${u%:*}; done; "
                f"install -d -o {USER} -m 755 /home/vllm; "
                f"echo '{USER} ALL=(root) NOPASSWD: {FOLDER}/act.sh' > /etc/sudoers.d/faults; "
                f"echo 'Defaults!{FOLDER}/act.sh !pam_session, !syslog' >> /etc/sudoers.d/faults; "
                f"chmod 440 /etc/sudoers.d/faults; install -d {SLURM}/real",
                host,
            )
        # The rest of the folder tells restore() what a run that was cut short has left behind.
        for name in ("scripts", "lib"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for name in ("scripts", "lib/ansible", "lib/ansible_collections/llmops/cluster/plugins"):
            (self.folder / name).mkdir(parents=True)
        for name, text in SCRIPTS.items():
            self._program(f"scripts/{name}.sh", text)
        for name in ("run_module.py", "proxy.py", "plain.sh", "act.sh", "restore.sh"):
            self._program(name, (HERE / name).read_text())
        self._copy_modules()

    def _program(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(0o755)

    def _copy_modules(self) -> None:
        """As Ansible sends a module: with the module_utils of Ansible and of the collection, nothing else."""
        skip = shutil.ignore_patterns("__pycache__", "*.pyc")
        lib, site = self.folder / "lib", Path(ansible.__file__).parent
        (lib / "ansible/__init__.py").touch()
        shutil.copytree(site / "module_utils", lib / "ansible/module_utils", ignore=skip)
        for name in ("modules", "module_utils"):
            target = lib / f"ansible_collections/llmops/cluster/plugins/{name}"
            shutil.copytree(CHECKOUT / "plugins" / name, target, ignore=skip)

    def restore(self) -> None:
        """Whatever a fault left behind goes; fails when the cluster does not come to be whole and empty."""
        self.environment, self.job_name, self.job_id = {}, "", None
        answer = podman.run("exec", self.cluster.lab.container("ctl"), f"{FOLDER}/restore.sh", check=False)
        assert answer.returncode == 0, f"the cluster is not healthy after the fault: {answer.stdout}{answer.stderr}"

    def calm(self) -> None:
        """Wait until the controller answers and no job is on its way out."""
        self.run(
            'for i in $(seq 240); do left=$(squeue -h -t COMPLETING -o %A 2>&1) && [ -z "$left" ] && exit 0; '
            "sleep 0.25; done; exit 0"
        )

    def find(self, name: str) -> Found:
        """What there is of this name, asked of the real squeue, fakes or not."""
        lines = self.run(f'{_real("squeue")} -h -n {name} -o "%A|%o|%u|%k"').splitlines()
        live, foreign = [], 0
        for line in sorted(set(lines)):
            number, path, user, comment = line.split("|", 3)
            script = Path(path.split(" ")[0]).stem
            if script == "foreign" or user != USER or "not-ours" in comment:
                foreign += 1
            else:
                live.append((int(number), script))
        ledger = self.folder / "begun" / name
        begun = len(ledger.read_text().splitlines()) if ledger.exists() else 0
        return Found(tuple(live), foreign, begun)

    def await_state_save(self) -> None:
        """Return right after slurmctld saved its jobs: what comes in the next seconds is not saved at once."""
        self.run(
            "cd /var/spool/slurmctld; before=$(stat -c %Y.%i job_state 2>/dev/null); "
            f"runuser -u {STRANGER} -- {_real('sbatch')} --parsable --hold --job-name=decoy --chdir=/ "
            f"--output=/dev/null {FOLDER}/scripts/ends.sh >/dev/null; "
            'for i in $(seq 200); do [ "$(stat -c %Y.%i job_state)" != "$before" ] && exit 0; sleep 0.05; done; exit 1'
        )

    @contextmanager
    def later(self, seconds: float, command: str, host: str = "ctl") -> Iterator[None]:
        """Run a command on a host after some seconds, whatever happens meanwhile."""
        self.note(f"in {seconds} s on {host}: {command}")
        timer = threading.Timer(seconds, self.run, [command, host, False])
        timer.start()
        try:
            yield
        finally:
            timer.join()
