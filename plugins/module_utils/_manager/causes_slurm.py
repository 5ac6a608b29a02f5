# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Causes that Slurm tells: why a job waits, how it ended, why it was not taken. And what an engine answers. Data."""

from __future__ import annotations

from ansible_collections.llmops.cluster.plugins.module_utils._manager.causes import (
    CONSEQUENCE,
    GUESS,
    LIKELY,
    Cause,
)

WAITING: tuple[Cause, ...] = (
    Cause(
        "held",
        r"JobHeld(?:User|Admin)|requeued in held state|requeued_held|launch failed requeued held",
        "The job is held: somebody held it, or Slurm did after it failed to start.",
        "`scontrol release {job_id}` lets it go. After a failed start look at the node first: `sinfo -R`.",
        "reason",
    ),
    Cause(
        "nodes-down",
        r"Nodes required for job are DOWN|ReqNodeNotAvail|NodeDown|(?:DOWN|DRAINED)",
        "The nodes that could run it are down, drained or reserved.",
        "`sinfo -R` says why. A node that is well: `scontrol update nodename=NODE state=resume`.",
        "reason",
    ),
    Cause(
        "partition-down",
        r"Partition(?:Down|Inactive)",
        "The partition takes no jobs now.",
        "`scontrol update partitionname=NAME state=up`, or another partition for {model}.",
        "reason",
    ),
    Cause(
        "time-above-partition",
        r"PartitionTimeLimit",
        "The job asks for more time than its partition allows.",
        "Lower time of {model} (or vllm_jobs_time), or raise max_time of the partition; `sinfo -o '%P %l'` shows it.",
        "reason",
    ),
    Cause(
        "nodes-above-partition",
        r"PartitionNodeLimit|PartitionConfig",
        "The job asks for more nodes or other ones than its partition has.",
        "Lower nodes of {model}, or choose another partition.",
        "reason",
    ),
    Cause(
        "never-satisfiable",
        r"BadConstraints|Resources_never|NodeConfigNotAvail",
        "No node of the partition has what the job asks for.",
        "Compare gpus, cpus_per_task and mem of {model} with `sinfo -N -o '%N %G %c %m'`.",
        "reason",
    ),
    Cause(
        "dependency",
        r"DependencyNeverSatisfied|Dependency",
        "The job waits for another job.",
        "`scontrol show job {job_id}` names it (Dependency). If that one failed, cancel this one: `vllm-manager "
        "cancel {job_id}`.",
        "reason",
    ),
    Cause(
        "account-limit",
        r"(?:Assoc|QOS|Group|Max)\w*(?:Limit|Resource|Tres|TRES|Jobs|Wall|Gres|GRES|Cpu|CPU|Mem|Node)\w*",
        "A limit of the account or its QOS is reached.",
        "`sacctmgr show assoc user=vllm format=account,grptres,maxjobs` shows it; wait for other jobs, or have the "
        "limit raised.",
        "reason",
        LIKELY,
    ),
    Cause(
        "account-invalid",
        r"Invalid(?:Account|QOS)",
        "Slurm does not know the job's account or QOS.",
        "Correct account and qos of {model}; `sacctmgr show assoc user=vllm` lists what there is.",
        "reason",
    ),
    Cause(
        "begins-later",
        r"BeginTime",
        "The job starts at a set time: Slurm waits two minutes after a requeue.",
        "Wait; `squeue --start -j {job_id}` says until when. `scontrol update jobid={job_id} starttime=now` starts "
        "it at once.",
        "reason",
        LIKELY,
    ),
    Cause(
        "gpus-busy",
        r"Resources|Priority",
        "All GPUs (or cores, or memory) that it could use are in use, or other jobs go first.",
        "Wait, or stop a model that is not needed: `vllm-manager status`. `squeue --start -j {job_id}` says when "
        "Slurm expects to start it.",
        "reason",
        LIKELY,
    ),
    Cause(
        "waits",
        r"(?P<what>\S.*)",
        "The job waits; Slurm's reason is {what}.",
        "`squeue --start -j {job_id}` and `sinfo` tell more.",
        "reason",
        GUESS,
    ),
)

ENDINGS: tuple[Cause, ...] = (
    Cause(
        "slurm-memory-limit",
        r"OUT_OF_MEMORY",
        "The job used more of the host's memory than Slurm gave it, and was killed.",
        "Raise mem of {model} (weights pass through host memory while they load) and deploy again.",
        "end",
    ),
    Cause(
        "time-limit",
        r"TIMEOUT|DUE TO TIME LIMIT",
        "The job reached its time limit.",
        "`vllm-manager serve {model}` starts it again; a longer time of {model} or vllm_jobs_time lets it run longer.",
        "end",
    ),
    Cause(
        "node-failed",
        r"NODE_FAIL",
        "The node of the job failed or lost its connection.",
        "`sinfo -R` says what Slurm knows of it. `vllm-manager serve {model}` takes another node.",
        "end",
    ),
    Cause(
        "node-did-not-boot",
        r"BOOT_FAIL",
        "The node that was started for the job did not come up.",
        "Look at `sinfo -R` and at /var/log/slurm on the controller; `vllm-manager serve {model}` tries again.",
        "end",
    ),
    Cause(
        "preempted",
        r"PREEMPTED",
        "A job with a higher priority took the GPUs.",
        "`vllm-manager serve {model}` queues it again; a partition or QOS that is not preempted keeps it.",
        "end",
    ),
    Cause(
        "deadline",
        r"DEADLINE",
        "The job could not end before its deadline, and Slurm removed it.",
        "Take the deadline out of its options.",
        "end",
    ),
    Cause(
        "output-folder-missing",
        r"signal 53",
        "Slurm could not start the job: the folder of its output is missing on the node, or the node does not know "
        "its user.",
        "Run deploy-vllm-models.yml, which makes the folders on every compute host; check `id vllm` there.",
        "end",
    ),
    Cause(
        "cancelled",
        r"CANCELLED",
        "Somebody cancelled the job.",
        "If that was not meant: `vllm-manager serve {model}`. `sacct -j {job_id} -o state%30` names who.",
        "end",
        LIKELY,
    ),
    Cause(
        "killed",
        r"exit code 137|signal 9\b",
        "A process of the job was killed from outside, most often by the kernel for want of memory.",
        "`journalctl -k | grep -i oom` on the node tells; raise mem of {model}.",
        "end",
        CONSEQUENCE - 10,
    ),
    Cause(
        "crashed",
        r"exit code 139|signal 11\b|exit code 134|signal 6\b",
        "The engine crashed in native code.",
        "Set eager: true for {model} and deploy again; then try another vLLM (vllm_version).",
        "end",
        CONSEQUENCE - 10,
    ),
    Cause(
        "log-time-limit",
        r"CANCELLED AT \S+ DUE TO TIME LIMIT",
        "The job reached its time limit.",
        "`vllm-manager serve {model}` starts it again; a longer time of {model} or vllm_jobs_time lets it run longer.",
    ),
    Cause(
        "log-node-failed",
        r"CANCELLED AT \S+ DUE TO NODE FAILURE",
        "The node of the job failed or lost its connection.",
        "`sinfo -R` says what Slurm knows of it. `vllm-manager serve {model}` takes another node.",
    ),
    Cause(
        "log-preempted",
        r"CANCELLED AT \S+ DUE TO PREEMPTION",
        "A job with a higher priority took the GPUs.",
        "`vllm-manager serve {model}` queues it again; a partition or QOS that is not preempted keeps it.",
    ),
    Cause(
        "step-not-started",
        r"srun: (?:error: )?(?P<why>Unable to create step for job \d+: (?!Job/step already completing).+|"
        r"Unable to confirm allocation.+|.*More processors requested.+|Job step's .+? may never run)",
        "Slurm did not start the engine inside its job: {why}.",
        "Compare cpus_per_task and gpus of {model} with the node (`scontrol show node`), and look at slurmd's log "
        "there.",
        rank=LIKELY,
    ),
    Cause(
        "requests-unreadable",
        r"The file of requests (?P<path>.+) cannot be read on (?P<node>\S+) by (?P<user>\S+?)\.?$",
        "{user} cannot read {path} on {node}.",
        "Put the requests where all hosts see them, as in the jobs' home, readable for {user}.",
    ),
)

REFUSALS: tuple[Cause, ...] = (
    Cause(
        "gres-unknown",
        r"Invalid generic resource \(gres\) specification",
        "Slurm has no GPUs of the kind that the job asks for.",
        "Compare gpus of {model} and vllm_jobs_gres with `sinfo -N -o '%N %G'`.",
        "refusal",
    ),
    Cause(
        "no-such-node",
        r"Requested node configuration is not available",
        "No node has what the job asks for: GPUs, cores or memory.",
        "Compare gpus, cpus_per_task and mem of {model} with `sinfo -N -o '%N %G %c %m'`.",
        "refusal",
    ),
    Cause(
        "no-such-partition",
        r"[Ii]nvalid partition",
        "There is no such partition.",
        "Correct partition of {model} (or vllm_jobs_partition); `sinfo -s` lists them.",
        "refusal",
    ),
    Cause(
        "time-unreadable",
        r"Invalid --time specification",
        "Slurm cannot read the time limit.",
        "Write time of {model} as minutes, 'HH:MM:SS' or 'D-HH:MM:SS', in quotes.",
        "refusal",
    ),
    Cause(
        "account-refused",
        r"Invalid account|Invalid qos|account/partition combination",
        "Slurm does not let this account, QOS or partition be used.",
        "Correct account and qos of {model}; `sacctmgr show assoc user=vllm` lists what there is.",
        "refusal",
    ),
    Cause(
        "limit-refused",
        r"Job violates accounting/QOS policy|(?:Requested )?time limit is invalid|AssocMax|QOSMax",
        "The job asks for more than its account or QOS allows.",
        "Lower time, gpus or nodes of {model}; `sacctmgr show assoc user=vllm` shows the limits.",
        "refusal",
    ),
)

HEALTH: tuple[Cause, ...] = (
    Cause(
        "engine-hangs",
        r"^hung\b",
        "The engine takes requests and does not answer them: its core hangs or lost a worker, while /health goes on "
        "saying 200.",
        "`vllm-manager restart {model}`. Look before that at the end of `vllm-manager logs {model}`.",
        "health",
        LIKELY,
    ),
    Cause(
        "wrong-key",
        r"^auth_error\b",
        "The server runs with another API key than the one on this host.",
        "`vllm-manager restart {model}`: an engine reads the key when it starts.",
        "health",
    ),
    Cause(
        "another-server",
        r"^wrong_model\b: (?P<why>.+)",
        "What answers on the model's port is not this model: {why}.",
        "`ss -tlnp` on the node names it. End it, then `vllm-manager restart {model}`.",
        "health",
    ),
    Cause(
        "host-unreachable",
        r"^unreachable\b: (?P<why>.+)",
        "This host does not reach the engine: {why}.",
        "Check the node's name (`getent hosts`), and the firewall between here and its port.",
        "health",
        LIKELY,
    ),
)

CAUSES: tuple[Cause, ...] = (*WAITING, *ENDINGS, *REFUSALS, *HEALTH)
