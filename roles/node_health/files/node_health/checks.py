# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a node, in words. Pure: these functions get what was read and touch nothing."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple


class Outcome(NamedTuple):
    """How a program ended: "ended", "missing" (it is not there), "late" (killed) or "stuck" (an older one still is)."""

    how: str
    code: int = 0
    out: str = ""
    err: str = ""
    since: str = ""

    @property
    def words(self) -> str:
        """The first line that says something; nvidia-smi puts errors on its standard output."""
        lines = [line.strip() for line in (self.err + "\n" + self.out).splitlines()]
        return next((line for line in lines if line), "no message")


class Disk(NamedTuple):
    """A folder whose file system needs so much free space."""

    path: str
    min_free_mb: int


# The fields of nvidia-smi --query-gpu, and what a value that is not a good one means for the GPU.
QUERY = (
    "index",
    "pci.bus_id",
    "ecc.errors.uncorrected.volatile.total",
    "retired_pages.pending",
    "remapped_rows.pending",
    "remapped_rows.failure",
    "gpu_recovery_action",
)
_YES = ("yes", "1")
_FLAGS = (
    ("retired_pages.pending", "has memory pages to retire, reset it"),
    ("remapped_rows.pending", "has memory rows to remap, reset it"),
    ("remapped_rows.failure", "could not remap a broken memory row, replace it"),
)
_NO_ANSWER = ("n/a", "[n/a]", "not supported", "[not supported]", "")
_BAD_ANSWER = re.compile(r"\[(?:unknown error|gpu requires reset|gpu is lost)\]|err!", re.IGNORECASE)
_UNKNOWN_FIELD = re.compile(r'Field "([^"]+)" is not a valid field')
_HANDLE = re.compile(r"Unable to determine the device handle for GPU\s*([0-9A-Fa-f:.]+): ([^.]*)")
_LIBRARY = re.compile(r"NVML library version: (\S+)")
_MIG = re.compile(r"(?:^|[_:])[0-9]+g\.[0-9]+gb", re.IGNORECASE)
_ADDRESS = r"([0-9A-Fa-f]+:[0-9A-Fa-f]+:[0-9A-Fa-f]+)"
_XID = re.compile(rf"NVRM: Xid \(PCI:{_ADDRESS}[^)]*\): ([0-9]+),\s*(.*)")
# Without a number, on some drivers.
_LOST = re.compile(rf"NVRM: .*?GPU (?:at PCI:)?{_ADDRESS}.*fallen off the bus")


def expected_gpus(gres: str) -> int | None:
    """The GPUs of a Gres such as gpu:l4:2(S:0-1); None when it counts parts of GPUs (MIG), which are no GPUs."""
    count = 0
    for part in re.sub(r"\([^)]*\)", "", gres).split(","):
        words = part.split(":")
        if words[0] != "gpu":
            continue
        if _MIG.search(part):
            return None
        count += int(words[-1]) if len(words) > 1 and words[-1].isdigit() else 1
    return count


def gpu_numbers(text: str) -> list[int]:
    """The numbers in SLURM_JOB_GPUS: 0,2-3."""
    numbers: list[int] = []
    for part in re.findall(r"[0-9]+(?:-[0-9]+)?", text):
        first, _dash, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


def device_reasons(wanted: Iterable[str], present: Collection[str]) -> list[str]:
    """GPUs whose device file is not there."""
    missing = [path for path in wanted if path not in present]
    return [f"GPU missing: no device file {', '.join(missing)}"] if missing else []


def without_unknown_fields(fields: Sequence[str], outcome: Outcome) -> list[str]:
    """The fields that this nvidia-smi knows, when it refused one: older drivers know fewer."""
    unknown = _UNKNOWN_FIELD.findall(outcome.out + outcome.err)
    return [field for field in fields if field not in unknown]


def smi_reasons(outcome: Outcome, fields: Sequence[str], expected: int | None, max_uncorrected: int) -> list[str]:
    """What nvidia-smi says is wrong, or what it is that it cannot say."""
    if outcome.how == "missing":
        return ["nvidia-smi is not there, but this node has NVIDIA hardware or its driver"]
    if outcome.how == "late":
        return ["nvidia-smi gave no answer in time"]
    if outcome.how == "stuck":
        return [f"nvidia-smi hangs since {outcome.since}"]
    if outcome.code:
        return [_smi_failure(outcome)]
    rows = [row for row in csv.reader(outcome.out.splitlines(), skipinitialspace=True) if len(row) == len(fields)]
    reasons = [reason for row in rows for reason in _gpu_reasons(_named(fields, row), max_uncorrected)]
    if expected is not None and len(rows) < expected:
        reasons.insert(0, f"GPU missing: nvidia-smi shows {len(rows)}, {expected} expected")
    return reasons


def _named(fields: Sequence[str], row: Sequence[str]) -> dict[str, str]:
    return {field: row[place].strip() for place, field in enumerate(fields)}


def _smi_failure(outcome: Outcome) -> str:
    text = outcome.out + "\n" + outcome.err
    if "version mismatch" in text:
        library = _LIBRARY.search(text)
        named = f" (library {library[1]})" if library else ""
        return f"NVIDIA driver and library do not match{named}, reboot"
    if "communicate with the NVIDIA driver" in text:
        return "the NVIDIA driver does not answer"
    handle = _HANDLE.search(text)
    if handle:
        return f"GPU {handle[1]} does not answer: {handle[2].strip()}"
    if "No devices were found" in text:
        return "GPU missing: nvidia-smi finds none"
    return f"nvidia-smi failed (exit {outcome.code}): {outcome.words}"


def _gpu_reasons(gpu: Mapping[str, str], max_uncorrected: int) -> list[str]:
    name = f"GPU {gpu['index']}"
    bad = next((value for value in gpu.values() if _BAD_ANSWER.search(value)), "")
    if bad:
        return [f"{name} is in error: {bad.strip('[]')}"]
    reasons = [f"{name} {words}" for field, words in _FLAGS if gpu.get(field, "").lower() in _YES]
    errors = gpu.get("ecc.errors.uncorrected.volatile.total", "")
    if errors.isdigit() and int(errors) > max_uncorrected:
        reasons.append(f"{name} has {errors} uncorrected ECC errors")
    action = gpu.get("gpu_recovery_action", "")
    if action.lower() not in (*_NO_ANSWER, "none"):
        reasons.append(f"{name} wants: {action}")
    return reasons


def xids(records: Iterable[str], fatal: Collection[int], after: int = 0) -> dict[str, str]:
    """Fatal faults of GPUs in the kernel's log, in words by GPU and number; `after` is in microseconds since boot.

    A record is "priority,sequence,microseconds,flags;text", as /dev/kmsg gives it.
    """
    found: dict[str, str] = {}
    for record in records:
        head, _semicolon, text = record.partition(";")
        if "NVRM" not in text or not _stamp(head) > after:
            continue
        fault, lost = _XID.search(text), _LOST.search(text)
        if fault and int(fault[2]) in fatal:
            # The name of the process is the user's choice and no part of the fault.
            what = re.sub(r"(?:pid='?[^,]*|name=[^,]*),?\s*", "", fault[3]).strip() or "no details"
            found.setdefault(f"{fault[1]} {fault[2]}", f"GPU {fault[1]} is in error: XID {fault[2]}, {what[:60]}")
        elif lost and 79 in fatal:
            found.setdefault(f"{lost[1]} 79", f"GPU {lost[1]} is in error: XID 79, fallen off the bus")
    return found


def _stamp(head: str) -> int:
    words = head.split(",")
    return int(words[2]) if len(words) > 2 and words[2].isdigit() else 1


def disk_reasons(disks: Iterable[Disk], outcomes: Mapping[str, Outcome]) -> list[str]:
    """File systems that are too full, from `stat --file-system --format='%a %S %d %c'` of each path."""
    reasons = []
    for disk in disks:
        outcome = outcomes[disk.path]
        silent = _no_answer(disk.path, outcome)
        numbers = [int(word) for word in outcome.out.split() if word.isdigit()]
        if silent or len(numbers) != 4:
            reasons.append(silent or f"{disk.path} cannot be read: {outcome.words}")
            continue
        blocks, size, free_inodes, inodes = numbers
        free = blocks * size // 2**20
        if free < disk.min_free_mb:
            reasons.append(f"disk full: {disk.path} has {free} MiB free, {disk.min_free_mb} wanted")
        elif inodes and not free_inodes:
            reasons.append(f"disk full: {disk.path} has no free inode")
    return reasons


def _no_answer(path: str, outcome: Outcome) -> str:
    if outcome.how == "stuck":
        return f"{path} does not answer since {outcome.since}"
    if outcome.how == "late":
        return f"{path} does not answer"
    if outcome.code:
        return f"{path} cannot be read: {outcome.words.rpartition(': ')[2]}"
    return ""


def mount_reasons(mounts: Iterable[str], mountinfo: str, outcomes: Mapping[str, Outcome]) -> list[str]:
    """Mounts that are gone or do not answer; `mountinfo` is the text of /proc/self/mountinfo."""
    fields = [line.split() for line in mountinfo.splitlines()]
    points = {_unescaped(words[4]) for words in fields if len(words) > 4}
    reasons = []
    for path in mounts:
        silent = _no_answer(path, outcomes[path])
        if path not in points:
            reasons.append(f"mount gone: {path}")
        elif silent:
            reasons.append(f"mount gone: {silent}")
    return reasons


def _unescaped(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)


def skew_reasons(before: float, controller: float | None, after: float, limit: float) -> list[str]:
    """The clock beside the controller's, which is told in whole seconds, read between two looks at ours."""
    if controller is None or not limit:
        return []
    ahead, behind = before - (controller + 1), controller - after
    apart = max(ahead, behind)
    if apart <= limit:
        return []
    return [f"clock is {apart:.0f} s {'ahead of' if ahead > 0 else 'behind'} the controller's"]


def chrony_reasons(text: str, limit: float, synchronised: bool) -> list[str]:
    """The clock beside its time servers', from `chronyc tracking`."""
    if synchronised and re.search(r"^Leap status\s*: Not synchronised", text, re.MULTILINE):
        return ["clock is not synchronised"]
    offset = re.search(r"^System time\s*: ([0-9.]+) seconds (fast|slow) of NTP time", text, re.MULTILINE)
    if offset and limit and float(offset[1]) > limit:
        return [f"clock is {float(offset[1]):.0f} s {offset[2]} of its time servers"]
    return []


def leftover_reasons(left: Mapping[str, Sequence[int]]) -> list[str]:
    """Processes of jobs that are over, by job, which nothing could end."""
    return [f"job {job} left processes that do not end: {', '.join(map(str, pids))}" for job, pids in left.items()]
