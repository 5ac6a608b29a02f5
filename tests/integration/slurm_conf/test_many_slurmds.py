"""Sixty-four real slurmds on one host under a slurmctld of their own, and a thousand jobs on them."""

from __future__ import annotations

from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.conf import slurm_conf
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.lines import slurm_ini

from lab.second_slurm import FOLDER, ask, name_hosts, settings, write
from tests.cluster import Cluster

NODES = 64
JOBS = 1000
# What several slurmds of one host must have apart, and what a container cannot do.
OWN = {
    "SlurmdSpoolDir": f"{FOLDER}/spool/%n",
    "SlurmdPidFile": f"{FOLDER}/%n.pid",
    "SlurmdLogFile": f"{FOLDER}/%n.log",
    "SlurmctldParameters": None,
    "SlurmdParameters": "config_overrides",
    "ProctrackType": "proctrack/linuxproc",
    "TaskPlugin": "task/none",
    "PrologFlags": None,
    "JobAcctGatherType": None,
    "SchedulerParameters": "batch_sched_delay=0,sched_min_interval=0",
    "SelectTypeParameters": "CR_Core",
}
RUN = f"""
set -e
export PATH=/opt/slurm/current/bin:/opt/slurm/current/sbin:$PATH
mkdir -p {FOLDER}/spool {FOLDER}/out && chmod 0777 {FOLDER}/out
for number in $(seq {NODES}); do slurmd -N n$number; done
for _ in $(seq 300); do test "$(sinfo -h -t idle -o %D)" = {NODES} && break; sleep 0.2; done
sinfo --noheader --format='%D %T'
cd {FOLDER}/out
timeout 420 sbatch --parsable --wait --array=0-{JOBS - 1} --output=/dev/null \
  --wrap 'echo $SLURMD_NODENAME >{FOLDER}/out/$SLURM_ARRAY_TASK_ID' || true
echo ====; cat {FOLDER}/out/* | sort | uniq -c
"""


def test_a_thousand_jobs_on_sixty_four_slurmds(folder: Cluster, version: str) -> None:
    # Host names of their own: not built for many slurmds on a host, Slurm forgets all nodes of one host but the first.
    nodes = [
        {"name": f"n{number}", "addr": "10.99.0.1", "port": 17000 + number, "cpus": 4} for number in range(1, NODES + 1)
    ]
    partitions = [{"name": "gpu", "nodes": [node["name"] for node in nodes], "default": True}]
    name_hosts(folder.lab, [])
    write(folder.lab, "slurm.conf", slurm_conf({**settings(""), **OWN}, nodes, partitions, {}, version, []))
    write(folder.lab, "cgroup.conf", slurm_ini({"CgroupPlugin": "disabled"}, "cgroup.conf", version))
    states, ran = ask(folder.lab, RUN).split("====")
    assert f"{NODES} idle" in states
    counts = {name: int(count) for count, name in (line.split() for line in ran.strip().splitlines())}
    print(f"{sum(counts.values())} jobs on {len(counts)} nodes")
    assert sum(counts.values()) == JOBS
    assert set(counts) == {node["name"] for node in nodes}
