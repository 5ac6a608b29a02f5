# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What EC2 instance types with GPUs have. Private to this collection; made by tests/record_instance_types.py."""

from __future__ import annotations

import typing as t

# Where the table is from.
SOURCE: t.Final = "EC2 DescribeInstanceTypes as moto 5.2.5 carries it, read on 2026-11-21"


class InstanceType(t.NamedTuple):
    """One instance type. Memory in MiB is what the hypervisor gives; the kernel reports some percent less."""

    vcpus: int
    cores: int
    threads_per_core: int
    memory: int
    gpus: int
    gpu_type: str
    gpu_memory: int
    disks: int
    disk_gb: int
    network_gbps: float
    efa_interfaces: int
    network_cards: int
    ebs_mbps: int
    ebs_mbps_burst: int


# vCPUs, cores, threads a core, memory in MiB; GPUs, their type for GRES, MiB of one; local NVMe disks, GB of one;
# network in Gbit/s as announced (up to), EFA interfaces at most, network cards; MB/s to EBS always, and at most (for
# half an hour a day at least, where it is more).
INSTANCE_TYPES: t.Final[dict[str, InstanceType]] = {
    "g4dn.xlarge": InstanceType(4, 2, 2, 16384, 1, "t4", 16384, 1, 125, 25.0, 0, 1, 118, 437),
    "g4dn.2xlarge": InstanceType(8, 4, 2, 32768, 1, "t4", 16384, 1, 225, 25.0, 0, 1, 143, 437),
    "g4dn.4xlarge": InstanceType(16, 8, 2, 65536, 1, "t4", 16384, 1, 225, 25.0, 0, 1, 593, 593),
    "g4dn.8xlarge": InstanceType(32, 16, 2, 131072, 1, "t4", 16384, 1, 900, 50.0, 1, 1, 1187, 1187),
    "g4dn.12xlarge": InstanceType(48, 24, 2, 196608, 4, "t4", 16384, 1, 900, 50.0, 1, 1, 1187, 1187),
    "g4dn.16xlarge": InstanceType(64, 32, 2, 262144, 1, "t4", 16384, 1, 900, 50.0, 1, 1, 1187, 1187),
    "g4dn.metal": InstanceType(96, 48, 2, 393216, 8, "t4", 16384, 2, 900, 100.0, 1, 1, 2375, 2375),
    "g5.xlarge": InstanceType(4, 2, 2, 16384, 1, "a10g", 22888, 1, 250, 10.0, 0, 1, 87, 437),
    "g5.2xlarge": InstanceType(8, 4, 2, 32768, 1, "a10g", 22888, 1, 450, 10.0, 0, 1, 106, 437),
    "g5.4xlarge": InstanceType(16, 8, 2, 65536, 1, "a10g", 22888, 1, 600, 25.0, 0, 1, 593, 593),
    "g5.8xlarge": InstanceType(32, 16, 2, 131072, 1, "a10g", 22888, 1, 900, 25.0, 1, 1, 2000, 2000),
    "g5.12xlarge": InstanceType(48, 24, 2, 196608, 4, "a10g", 22888, 1, 3800, 40.0, 1, 1, 2000, 2000),
    "g5.16xlarge": InstanceType(64, 32, 2, 262144, 1, "a10g", 22888, 1, 1900, 25.0, 1, 1, 2000, 2000),
    "g5.24xlarge": InstanceType(96, 48, 2, 393216, 4, "a10g", 22888, 1, 3800, 50.0, 1, 1, 2375, 2375),
    "g5.48xlarge": InstanceType(192, 96, 2, 786432, 8, "a10g", 22888, 2, 3800, 100.0, 1, 1, 2375, 2375),
    "g6.xlarge": InstanceType(4, 2, 2, 16384, 1, "l4", 22888, 1, 250, 10.0, 0, 1, 125, 625),
    "g6.2xlarge": InstanceType(8, 4, 2, 32768, 1, "l4", 22888, 1, 450, 10.0, 0, 1, 250, 625),
    "g6.4xlarge": InstanceType(16, 8, 2, 65536, 1, "l4", 22888, 1, 600, 25.0, 0, 1, 1000, 1000),
    "g6.8xlarge": InstanceType(32, 16, 2, 131072, 1, "l4", 22888, 2, 450, 25.0, 1, 1, 2000, 2000),
    "g6.12xlarge": InstanceType(48, 24, 2, 196608, 4, "l4", 22888, 4, 940, 40.0, 1, 1, 2500, 2500),
    "g6.16xlarge": InstanceType(64, 32, 2, 262144, 1, "l4", 22888, 2, 940, 25.0, 1, 1, 2500, 2500),
    "g6.24xlarge": InstanceType(96, 48, 2, 393216, 4, "l4", 22888, 4, 940, 50.0, 1, 1, 3750, 3750),
    "g6.48xlarge": InstanceType(192, 96, 2, 786432, 8, "l4", 22888, 8, 940, 100.0, 1, 1, 7500, 7500),
    "g6e.xlarge": InstanceType(4, 2, 2, 32768, 1, "l40s", 45776, 1, 250, 20.0, 0, 1, 125, 625),
    "g6e.2xlarge": InstanceType(8, 4, 2, 65536, 1, "l40s", 45776, 1, 450, 20.0, 0, 1, 250, 625),
    "g6e.4xlarge": InstanceType(16, 8, 2, 131072, 1, "l40s", 45776, 1, 600, 20.0, 0, 1, 1000, 1000),
    "g6e.8xlarge": InstanceType(32, 16, 2, 262144, 1, "l40s", 45776, 2, 450, 25.0, 1, 1, 2000, 2000),
    "g6e.12xlarge": InstanceType(48, 24, 2, 393216, 4, "l40s", 45776, 2, 1900, 100.0, 1, 1, 2500, 2500),
    "g6e.16xlarge": InstanceType(64, 32, 2, 524288, 1, "l40s", 45776, 2, 950, 35.0, 1, 1, 2500, 2500),
    "g6e.24xlarge": InstanceType(96, 48, 2, 786432, 4, "l40s", 45776, 2, 1900, 200.0, 2, 2, 3750, 3750),
    "g6e.48xlarge": InstanceType(192, 96, 2, 1572864, 8, "l40s", 45776, 4, 1900, 400.0, 4, 4, 7500, 7500),
    "gr6.4xlarge": InstanceType(16, 8, 2, 131072, 1, "l4", 22888, 1, 600, 25.0, 0, 1, 1000, 1000),
    "gr6.8xlarge": InstanceType(32, 16, 2, 262144, 1, "l4", 22888, 2, 450, 25.0, 1, 1, 2000, 2000),
    "g7e.2xlarge": InstanceType(8, 4, 2, 65536, 1, "rtx_pro_6000", 98304, 1, 1900, 50.0, 0, 1, 250, 625),
    "g7e.4xlarge": InstanceType(16, 8, 2, 131072, 1, "rtx_pro_6000", 98304, 1, 1900, 50.0, 0, 1, 1000, 1000),
    "g7e.8xlarge": InstanceType(32, 16, 2, 262144, 1, "rtx_pro_6000", 98304, 1, 1900, 100.0, 1, 1, 2000, 2000),
    "g7e.12xlarge": InstanceType(48, 24, 2, 524288, 2, "rtx_pro_6000", 98304, 1, 3800, 400.0, 1, 1, 3125, 3125),
    "g7e.24xlarge": InstanceType(96, 48, 2, 1048576, 4, "rtx_pro_6000", 98304, 2, 3800, 800.0, 2, 2, 6250, 6250),
    "g7e.48xlarge": InstanceType(192, 96, 2, 2097152, 8, "rtx_pro_6000", 98304, 4, 3800, 1600.0, 4, 4, 12500, 12500),
    "p4d.24xlarge": InstanceType(96, 48, 2, 1179648, 8, "a100", 40960, 8, 1000, 400.0, 4, 4, 2375, 2375),
    "p4de.24xlarge": InstanceType(96, 48, 2, 1179648, 8, "a100", 81920, 8, 1000, 400.0, 4, 4, 2375, 2375),
    "p5.4xlarge": InstanceType(16, 8, 2, 262144, 1, "h100", 81920, 1, 3800, 100.0, 1, 1, 1250, 1250),
    "p5.48xlarge": InstanceType(192, 96, 2, 2097152, 8, "h100", 81920, 8, 3800, 3200.0, 32, 32, 10000, 10000),
    "p5e.48xlarge": InstanceType(192, 96, 2, 2097152, 8, "h200", 144384, 8, 3800, 3200.0, 32, 32, 10000, 10000),
    "p5en.48xlarge": InstanceType(192, 96, 2, 2097152, 8, "h200", 144384, 8, 3800, 3200.0, 16, 16, 12500, 12500),
    "p6-b200.48xlarge": InstanceType(192, 96, 2, 2097152, 8, "b200", 183359, 8, 3800, 3200.0, 8, 8, 12500, 12500),
    "p6-b300.48xlarge": InstanceType(192, 96, 2, 4194304, 8, "b300", 275040, 8, 3800, 6400.0, 16, 17, 12500, 12500),
}
