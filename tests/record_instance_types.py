"""Write the table of plugins/module_utils/_instance_types.py anew, from what EC2 answers to DescribeInstanceTypes.

    aws ec2 describe-instance-types --filters Name=processor-info.supported-architecture,Values=x86_64 > types.json
    python -m tests.record_instance_types "aws, $(date +%F)" types.json

Without an account, moto carries a copy: moto/ec2/resources/instance_types.json.gz in its wheel.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parents[1] / "plugins/module_utils/_instance_types.py"
FAMILIES = ("g4dn", "g5", "g6", "g6e", "gr6", "g7e", "p4d", "p4de", "p5", "p5e", "p5en", "p6-b200", "p6-b300")
# What EC2 calls a GPU -> part of the name that slurmd finds, in lower case with underscores.
TYPES = {"RTX PRO Server 6000": "rtx_pro_6000"}


def _size(name: str) -> tuple[int, int, str]:
    family, size = name.split(".")
    number = "".join(char for char in size if char.isdigit())
    return (FAMILIES.index(family), int(number or 1) if size != "metal" else 999, name)


def _row(one: dict[str, Any]) -> tuple[Any, ...]:
    gpu = one["GpuInfo"]["Gpus"][0]
    disks = one.get("InstanceStorageInfo", {}).get("Disks", [{"Count": 0, "SizeInGB": 0}])[0]
    cpu, network, ebs = one["VCpuInfo"], one["NetworkInfo"], one["EbsInfo"]["EbsOptimizedInfo"]
    kind = TYPES.get(gpu["Name"], gpu["Name"].lower().replace(" ", "_"))
    # "Up to 25 Gigabit", "4x 100 Gigabit": what is announced; the cards' own peaks add up to more than that.
    cards, gigabits = re.findall(r"(?:([0-9]+)x )?([0-9.]+) Gigabit", network["NetworkPerformance"])[0]
    return (
        *(cpu["DefaultVCpus"], cpu["DefaultCores"], cpu["DefaultThreadsPerCore"], one["MemoryInfo"]["SizeInMiB"]),
        *(gpu["Count"], kind, gpu["MemoryInfo"]["SizeInMiB"], disks["Count"], disks["SizeInGB"]),
        *(int(cards or 1) * float(gigabits), network.get("EfaInfo", {}).get("MaximumEfaInterfaces", 0)),
        *(network["MaximumNetworkCards"], int(ebs["BaselineThroughputInMBps"]), int(ebs["MaximumThroughputInMBps"])),
    )


def main() -> None:
    source, path = sys.argv[1], Path(sys.argv[2])
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    found = json.loads(raw)
    types = found["InstanceTypes"] if "InstanceTypes" in found else list(found.values())
    wanted = {one["InstanceType"]: one for one in types if one["InstanceType"].split(".")[0] in FAMILIES}
    lines = [
        f'    "{name}": InstanceType({", ".join(json.dumps(cell) for cell in _row(wanted[name]))}),\n'
        for name in sorted(wanted, key=_size)
    ]
    head, table, _rows = TARGET.read_text().partition("INSTANCE_TYPES: t.Final[dict[str, InstanceType]] = {\n")
    head = re.sub(r"(?m)^(SOURCE: t.Final) = .*", rf"\1 = {json.dumps(source)}", head)
    TARGET.write_text(head + table + "".join(lines) + "}\n")


if __name__ == "__main__":
    main()
