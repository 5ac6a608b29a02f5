"""Record what a live sacctmgr prints: `python -m tests.record_accounting FOLDER CLUSTER --on 'ssh -F ssh_config ctl'`.

COMMAND gets each command line as one more argument and must be root on a host where sacctmgr works. The things made for
it (all begin with rec-) are removed at the end.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
from pathlib import Path

from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting import command

ADD = "sacctmgr --immediate add"
MADE = (
    f"{ADD} qos name=rec-batch Description=\"work | that 'may' wait\"",
    f"{ADD} qos name=rec-fast Priority=100 Flags=DenyOnLimit,NoReserve Preempt=rec-batch,normal PreemptMode=requeue "
    "PreemptExemptTime=00:05:00 GraceTime=90 UsageFactor=0.5 UsageThreshold=0.25 LimitFactor=2 GrpJobs=5 "
    "GrpTRES=gres/gpu=2,cpu=4,mem=65536 GrpTRESMins=cpu=1000000 GrpWall=1440 MaxTRESPerJob=mem=4100 "
    "MaxWallDurationPerJob=90 MaxJobsPerUser=3 MinPrioThres=7 MinTRESPerJob=gres/gpu=1",
    f"{ADD} account name=rec-a cluster=CLUSTER Description='Words of an Admin' Organization=org Fairshare=75 "
    "QOS=normal,rec-batch DefaultQOS=rec-batch GrpTRES=gres/gpu=1 MaxWallDurationPerJob=90 MaxJobs=3 Priority=7",
    f"{ADD} account name=rec-b cluster=CLUSTER Parent=rec-a Fairshare=parent",
    f"{ADD} user name=rec-u account=rec-b cluster=CLUSTER DefaultAccount=rec-b AdminLevel=Operator MaxJobs=1",
    f"{ADD} user name=rec-u account=rec-a cluster=CLUSTER DefaultQOS=rec-batch",
    f"{ADD} user name=rec-u account=rec-a cluster=CLUSTER partition=gpu Fairshare=5",
    "sacctmgr --immediate modify account where name=rec-b cluster=CLUSTER set QOS+=rec-fast",
)
GONE = (
    "sacctmgr --immediate delete user where name=rec-u",
    "sacctmgr --immediate delete account where name=rec-b",
    "sacctmgr --immediate delete account where name=rec-a",
    "sacctmgr --immediate delete qos where name=rec-fast,rec-batch",
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Record what a live sacctmgr prints.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("cluster")
    parser.add_argument("--on", required=True, metavar="COMMAND", help="what runs a command line on the cluster")
    options = parser.parse_args()

    def on(line: str) -> str:
        argv = [*shlex.split(options.on), line.replace("CLUSTER", options.cluster)]
        return subprocess.run(argv, check=True, text=True, stdout=subprocess.PIPE).stdout

    shows = {
        "cluster": command.show("sacctmgr", "cluster", command.CLUSTER_COLUMNS),
        "tres": command.show("sacctmgr", "tres", command.TRES_COLUMNS),
        "qos": command.show("sacctmgr", "qos", command.QOS_COLUMNS),
        "account": command.show("sacctmgr", "account", command.ACCOUNT_COLUMNS),
        "user": command.show("sacctmgr", "user", command.USER_COLUMNS),
        "association": command.show_associations("sacctmgr", options.cluster),
    }
    try:
        for line in MADE:
            on(line)
        for what, argv in shows.items():
            (options.folder / f"sacctmgr-{what}.txt").write_text(on(shlex.join(argv)))
    finally:
        for line in GONE:
            on(line)


if __name__ == "__main__":
    main()
