# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nvidia-smi says of a host. Pure. Private to this collection."""

from __future__ import annotations

import dataclasses
import re
import typing as t

_HEAD: t.Final = re.compile(r"^(Driver Version|CUDA Version|Attached GPUs)\s+: (.*)$", re.MULTILINE)
_GPU: t.Final = re.compile(r"^GPU ([0-9A-Fa-f]{8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-9A-Fa-f])[ \t]*$", re.MULTILINE)
_NAME: t.Final = re.compile(r"^    Product Name\s+: (.*)$", re.MULTILINE)
_MIG: t.Final = re.compile(r"^    MIG Mode\s*\n\s+Current\s+: (.*)$", re.MULTILINE)
# What stands in place of a value that the driver could not read; N/A is none of it: the GPU has no such thing.
_BAD: t.Final = re.compile(r": \[?(GPU requires reset|GPU is lost|Unknown Error|ERR!)\]?\s*$", re.MULTILINE)
_RESET: t.Final = re.compile(r"^\s+Reset Required\s+: Yes\s*$", re.MULTILINE)
_PENDING: t.Final = re.compile(r"^    Remapped Rows\s*\n(?:\s+\w[\w ]*: .*\n)*?\s+Pending\s+: Yes\s*$", re.MULTILINE)
_BROKEN: t.Final = re.compile(r"^\s+Remapping Failure Occurred\s+: Yes\s*$", re.MULTILINE)
_HANDLE: t.Final = re.compile(r"Unable to determine the device handle for GPU\s*([0-9A-Fa-f:.]+): ([^.\n]*)")
_LIBRARY: t.Final = re.compile(r"NVML library version: (\S+)")


@dataclasses.dataclass(frozen=True)
class Gpu:
    """A GPU that nvidia-smi lists, and what it says is wrong with it."""

    address: str
    name: str
    mig: bool
    faults: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Report:
    """What nvidia-smi -q printed; `failure` says why it printed nothing."""

    driver: str = ""
    cuda: str = ""
    gpus: tuple[Gpu, ...] = ()
    failure: str = ""


def short(address: str) -> str:
    """The address of a device as the kernel writes it: 0000:01:00.0 of 00000000:01:00.0."""
    words = address.lower().split(":")
    return ":".join([words[0][-4:], *words[1:]]) if len(words) == 3 else address.lower()


def parse_smi(text: str, code: int = 0) -> Report:
    """The report of `nvidia-smi -q`, which puts its errors on its standard output."""
    head = {name: value.strip() for name, value in _HEAD.findall(text)}
    parts = _GPU.split(text)
    gpus = tuple(_gpu(address, body) for address, body in zip(parts[1::2], parts[2::2], strict=True))
    failure = _failure(text, code) if code or "Driver Version" not in head else ""
    return Report(head.get("Driver Version", ""), head.get("CUDA Version", ""), gpus, failure)


def _gpu(address: str, body: str) -> Gpu:
    name, mig, bad = _NAME.search(body), _MIG.search(body), _BAD.search(body)
    faults = []
    if bad:
        faults.append(f"is in error: {bad[1]}")
    elif _RESET.search(body):
        faults.append("requires a reset")
    if _PENDING.search(body):
        faults.append("has memory rows to remap, reset it")
    if _BROKEN.search(body):
        faults.append("could not remap a broken memory row, replace it")
    enabled = mig is not None and mig[1].strip() == "Enabled"
    return Gpu(short(address), name[1].strip() if name else "unknown", enabled, tuple(faults))


def _failure(text: str, code: int) -> str:
    """Why nvidia-smi failed, in words; what each exit code means is in its manual."""
    handle, library = _HANDLE.search(text), _LIBRARY.search(text)
    if "version mismatch" in text:
        named = f" (library {library[1]})" if library else ""
        return f"driver and library do not match{named}: the new driver is loaded by a reboot"
    if "communicate with the NVIDIA driver" in text:
        return "the driver is not loaded (dmesg says why)"
    if handle:
        return f"GPU {short(handle[1])} does not answer: {handle[2].strip()}. Reset or reboot; if it stays, replace it"
    if "No devices were found" in text:
        return "it found no devices, though the driver is loaded (dmesg says why)"
    line = next((line.strip() for line in text.splitlines() if line.strip()), "no message")
    return f"exit {code}, {line}"
