"""A Slurm of a Debian release in one folder: controller, two nodes, munge, accounting. As root, on Debian.

    python -m tests.slurm_box make forky /var/tmp/box      # packages from this machine's own mirror
    python -m tests.slurm_box start /var/tmp/box           # prints what tests/record_slurm.py wants as --on
    python -m tests.slurm_box stop /var/tmp/box

Only for recording what another version answers: the lab and its tests have their own Slurm. All processes live in
namespaces of their own, so nothing of the machine is touched, and killing the first one ends them all.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from lab.image import LOCAL_CAS, debootstrap

PACKAGES = "slurmctld slurmd slurm-client slurmdbd munge mariadb-server"
NODES = ("gpu1", "gpu2")
# config_overrides: the nodes may say that they have more than this machine has.
_SLURM_CONF = """ClusterName=lab
SlurmctldHost=ctl
SlurmUser=slurm
AuthType=auth/munge
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd-%n
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd-%n.pid
SlurmctldLogFile=/var/log/slurmctld.log
SlurmdLogFile=/var/log/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
GresTypes=gpu
ReturnToService=2
MessageTimeout=10
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStorageTRES=gres/gpu
NodeName=gpu1 NodeHostname=ctl Port=17001 CPUs=8 RealMemory=1000 Gres=gpu:l4:2 State=UNKNOWN
NodeName=gpu2 NodeHostname=ctl Port=17002 CPUs=8 RealMemory=1000 Gres=gpu:l4:2 State=UNKNOWN
PartitionName=gpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
_SLURMDBD_CONF = """AuthType=auth/munge
DbdHost=localhost
SlurmUser=slurm
StorageType=accounting_storage/mysql
StorageUser=slurm
StoragePass=recording
LogFile=/var/log/slurmdbd.log
PidFile=/run/slurmdbd.pid
"""
_START = r"""set -eu
# An address that is no loopback: without one getaddrinfo finds nothing to listen on.
hostname ctl; ip link set lo up; ip address add 10.99.0.1/32 dev lo
# Each start is the first: what an earlier one left behind, locks and jobs, is removed.
rm -rf /run/munge /run/mysqld /var/spool/slurmctld /var/spool/slurmd-* /var/lib/box-sql
mkdir -p /run/munge /run/mysqld /var/spool/slurmctld
chown munge: /run/munge; chown mysql: /run/mysqld; chown slurm: /var/spool/slurmctld
runuser -u munge -- /usr/sbin/munged
mariadb-install-db --user=mysql --datadir=/var/lib/box-sql >/dev/null
(mariadbd --user=mysql --datadir=/var/lib/box-sql --innodb-buffer-pool-size=64M >/var/log/mariadbd.log 2>&1 &)
for i in $(seq 60); do mariadb -e 'select 1' >/dev/null 2>&1 && break; sleep 1; done
mariadb -e "create database slurm_acct_db;
  create user slurm@localhost identified by 'recording'; grant all on slurm_acct_db.* to slurm@localhost"
slurmdbd; for i in $(seq 60); do sacctmgr -n show cluster >/dev/null 2>&1 && break; sleep 1; done
sacctmgr -i add cluster lab >/dev/null
slurmctld; for node in @NODES@; do slurmd -N "$node"; done
for i in $(seq 60); do [ "$(sinfo -h -t idle -o %D)" = 2 ] && break; sleep 1; done
sinfo; touch /run/box-ready; exec sleep infinity
"""


def make(suite: str, root: Path) -> None:
    subprocess.run(debootstrap(suite, root, "ca-certificates,iproute2,procps,python3"), check=True)
    if LOCAL_CAS.is_dir():
        shutil.copytree(LOCAL_CAS, root / "usr/local/share/ca-certificates", dirs_exist_ok=True)
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    settings = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, text=True).stdout
    (root / "etc/apt/apt.conf.d/90box").write_text(settings)
    install = f"apt-get -q update && apt-get -qy install --no-install-recommends {PACKAGES}"
    # Maintainer scripts want /proc; in a namespace of its own the mount goes when they are done.
    inside = (
        f"export DEBIAN_FRONTEND=noninteractive; mount -t proc proc {root}/proc; exec chroot {root} sh -c '{install}'"
    )
    subprocess.run(["unshare", "--mount", "--pid", "--fork", "sh", "-c", inside], check=True)


def configure(root: Path) -> None:
    version = subprocess.run(["chroot", root, "slurmctld", "-V"], capture_output=True, text=True, check=True).stdout
    # On a machine whose cgroups are hybrid, slurmd starts only without them; before 24.05 only with version 1.
    no_cgroups = (
        "CgroupPlugin=disabled" if version.split()[-1] >= "24" else "CgroupPlugin=cgroup/v1\nCgroupAutomount=no"
    )
    devices = [f"NodeName={node} Name=gpu Type=l4 File=/dev/nvidia[0-1]" for node in NODES]
    files = {
        "slurm.conf": _SLURM_CONF,
        "slurmdbd.conf": _SLURMDBD_CONF,
        "cgroup.conf": f"{no_cgroups}\n",
        "gres.conf": "\n".join(devices) + "\n",
    }
    for name, text in files.items():
        (root / "etc/slurm" / name).write_text(text)
    (root / "start.sh").write_text(_START.replace("@NODES@", " ".join(NODES)))
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n10.99.0.1 ctl gpu1 gpu2\n")
    script = (
        "chown slurm /etc/slurm/slurmdbd.conf && chmod 600 /etc/slurm/slurmdbd.conf;"
        "id vllm >/dev/null 2>&1 || useradd -u 403 -U -m -s /usr/sbin/nologin vllm;"
        "for i in 0 1; do [ -e /dev/nvidia$i ] || { mknod /dev/nvidia$i c 1 3; chmod 666 /dev/nvidia$i; }; done;"
        "[ -s /etc/munge/munge.key ] || mungekey; chown -R munge: /etc/munge /var/lib/munge /var/log/munge"
    )
    subprocess.run(["chroot", root, "sh", "-c", script], check=True)


def start(root: Path) -> str:
    stop(root)
    configure(root)
    ready = root / "run/box-ready"
    ready.unlink(missing_ok=True)
    chroot = f"mount --bind /dev/pts {root}/dev/pts; mount --bind /proc {root}/proc; exec chroot {root} bash /start.sh"
    with (root / "var/log/box.log").open("wb") as log:
        box = subprocess.Popen(
            [*("unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc")]
            + ["sh", "-c", chroot],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (root / "run/box.pid").write_text(str(box.pid))
    for _second in range(180):
        if ready.exists():
            return f"nsenter --target {_first_child(box.pid)} --all --root env -C / bash -c"
        if box.poll() is not None:
            break
        time.sleep(1)
    sys.exit(f"Starting the box in {root} failed: see {root}/var/log/box.log")


def stop(root: Path) -> None:
    pid_file = root / "run/box.pid"
    if pid_file.exists():
        # unshare ignores SIGTERM while it waits; its child, and with it all others, go with it.
        subprocess.run(["kill", "-KILL", pid_file.read_text()], check=False)
        pid_file.unlink()


def _first_child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("action", choices=["make", "start", "stop"])
    parser.add_argument("words", nargs="+", help="make: release and folder; start, stop: folder")
    given = parser.parse_args()
    root = Path(given.words[-1]).resolve()
    if given.action == "make":
        make(given.words[0], root)
    elif given.action == "stop":
        stop(root)
    else:
        print(f"--on {shlex.quote(start(root))}")


if __name__ == "__main__":
    main()
