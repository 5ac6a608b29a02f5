# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the driver is ready for jobs: what the PCI bus, nvidia-smi, libcuda and DCGM say, side by side. Pure.

Private to this collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._nvidia import host, smi, support


def driver_faults(look: host.Look, report: smi.Report, query: t.Mapping[str, t.Any]) -> list[str]:
    """Why no job may be started on this host."""
    faults = _versions(look, report)
    if report.failure:
        faults.append(f"nvidia-smi failed: {report.failure}")
        return faults
    faults += _gpus(look, report)
    faults += [f"GPU {gpu.address} ({gpu.name}) {fault}" for gpu in report.gpus for fault in gpu.faults]
    return faults + _query(report, query) + _torch(look, report, query)


def _versions(look: host.Look, report: smi.Report) -> list[str]:
    loaded = host.loaded_version(look)
    if not loaded:
        return ["the driver is not loaded: /proc/driver/nvidia/version is not there (dmesg says why)"]
    if look["library"] and look["library"] != loaded:
        return [f"driver {loaded} is loaded, its library is {look['library']}: reboot"]
    if report.driver and report.driver != loaded:
        return [f"driver {loaded} is loaded, nvidia-smi is {report.driver}: reboot"]
    return []


def _gpus(look: host.Look, report: smi.Report) -> list[str]:
    """GPUs that are on the bus and that the driver does not have; the other way round cannot be."""
    bus = [smi.short(gpu["address"]) for gpu in host.gpus(look)]
    has = {gpu.address for gpu in report.gpus}
    missing = [address for address in bus if address not in has]
    if not missing:
        return []
    return [
        f"the PCI bus has {len(bus)} GPUs, nvidia-smi {len(has)}: missing are {', '.join(missing)} (dmesg says why)"
    ]


def _query(report: smi.Report, query: t.Mapping[str, t.Any]) -> list[str]:
    """What a CUDA program sees. Where GPUs are cut into parts (MIG) it sees one part, whatever there is."""
    if any(gpu.mig for gpu in report.gpus):
        return []
    if query["error"]:
        return [f"libcuda does not answer: {query['error']}"]
    if len(query["devices"]) != len(report.gpus):
        return [f"nvidia-smi has {len(report.gpus)} GPUs, a CUDA program sees {len(query['devices'])}"]
    return []


def _torch(look: host.Look, report: smi.Report, query: t.Mapping[str, t.Any]) -> list[str]:
    return support.cuda_faults(support.cuda_of_torch(look["torch"]), report.driver, int(query["cuda"]))


def summary(report: smi.Report) -> str:
    """What is there, in a line."""
    names: dict[str, int] = {}
    for gpu in report.gpus:
        name = gpu.name + (" in parts (MIG)" if gpu.mig else "")
        names[name] = names.get(name, 0) + 1
    counted = ", ".join(f"{count} x {name}" for name, count in names.items())
    return f"{counted or 'no GPU'}, driver {report.driver}, CUDA {report.cuda}"
