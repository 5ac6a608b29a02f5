# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Slurm's keys, their order and our defaults, as data. Private to this collection."""

from __future__ import annotations

import typing as t

# Order of slurm.conf. None: no default, but a fixed place. Reasons stand beside what is not Slurm's own default.
SETTINGS: t.Final[dict[str, t.Any]] = {
    "ClusterName": None,
    "SlurmctldHost": None,
    "SlurmUser": "slurm",
    "AuthType": "auth/munge",
    "CredType": "cred/munge",
    "SlurmctldPort": 6817,
    "SlurmdPort": 6818,
    # Nodes fetch this file from slurmctld, so that a change needs no task on each of them.
    "SlurmctldParameters": "enable_configless",
    "StateSaveLocation": "/var/spool/slurmctld",
    "SlurmdSpoolDir": "/var/spool/slurmd",
    "SlurmctldPidFile": "/run/slurmctld.pid",
    "SlurmdPidFile": "/run/slurmd.pid",
    "SlurmctldLogFile": "/var/log/slurm/slurmctld.log",
    "SlurmdLogFile": "/var/log/slurm/slurmd.log",
    "MpiDefault": "none",
    # Without a process container a serving job could leave engines behind that hold GPU memory.
    "ProctrackType": "proctrack/cgroup",
    "TaskPlugin": "task/cgroup,task/affinity",
    "PrologFlags": "Contain",
    # Model weights are pinned in memory: the limit of the submitting shell must not travel with the job.
    "PropagateResourceLimitsExcept": "MEMLOCK",
    "GresTypes": "gpu",
    "SchedulerType": "sched/backfill",
    "SelectType": "select/cons_tres",
    "SelectTypeParameters": "CR_Core_Memory",
    # A node that rebooted by itself comes back without an administrator.
    "ReturnToService": 2,
    # For `scontrol reboot`. A server with much memory and eight GPUs takes many minutes until it is back; one that
    # takes longer than this is set down.
    "RebootProgram": "/sbin/reboot",
    "ResumeTimeout": 1800,
    # Both grow with the number of nodes (scale.py), as does JobAcctGatherFrequency.
    "TreeWidth": None,
    "MessageTimeout": None,
    "SlurmctldTimeout": 120,
    "SlurmdTimeout": 300,
    # Longer than an engine may take to finish the requests it is answering (vllm_jobs_shutdown_timeout).
    "KillWait": 30,
    "MinJobAge": 300,
    "JobAcctGatherType": "jobacct_gather/cgroup",
    "JobAcctGatherFrequency": 30,
    "AccountingStorageType": "accounting_storage/slurmdbd",
    "AccountingStorageHost": None,
    "AccountingStorageTRES": "gres/gpu",
    # Keeps the key of slurm_job findable after the controller has forgotten the job.
    "AccountingStoreFlags": "job_comment",
}

# Lines of their own for each element of a list.
REPEATED: t.Final = ("SlurmctldHost",)
# Keys that slurm_conf() writes from its other arguments.
ELSEWHERE: t.Final = {
    "NodeName": "nodes",
    "PartitionName": "partitions",
    "NodeSet": "partitions with nodes, for a partition of ours names its nodes",
    "DownNodes": "the node's state and reason",
    "Include": "settings themselves, for included files do not reach nodes without a copy of their own",
}
