# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a node, in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.roles.node_health.files.node_health import checks
from ansible_collections.llmops.cluster.roles.node_health.files.node_health.checks import Disk, Outcome

FIXTURES = Path(__file__).parents[2] / "fixtures" / "nvidia-smi"
FATAL = [48, 62, 64, 74, 79, 95, 119, 120, 140, 143]


def smi(name: str, code: int = 0) -> Outcome:
    return Outcome("ended", code, out=(FIXTURES / name).read_text())


@pytest.mark.parametrize(
    ("outcome", "reasons"),
    [
        pytest.param(smi("healthy.csv"), [], id="healthy"),
        pytest.param(smi("healthy-l4.csv"), [], id="healthy-without-retired-pages"),
        pytest.param(smi("healthy-no-ecc.csv"), [], id="healthy-without-ecc"),
        pytest.param(smi("one-of-two.csv"), ["GPU missing: nvidia-smi shows 1, 2 expected"], id="one-is-missing"),
        pytest.param(
            smi("ecc.csv"),
            [
                "GPU 1 has memory rows to remap, reset it",
                "GPU 1 has 3 uncorrected ECC errors",
                "GPU 1 wants: Drain and Reset",
            ],
            id="ecc",
        ),
        pytest.param(
            smi("retired.csv"),
            ["GPU 0 has memory pages to retire, reset it", "GPU 1 could not remap a broken memory row, replace it"],
            id="retired-pages-and-remapped-rows",
        ),
        pytest.param(smi("reset.csv"), ["GPU 1 is in error: GPU requires reset"], id="requires-reset"),
        pytest.param(smi("unknown-error.csv"), ["GPU 0 is in error: Unknown Error"], id="unknown-error"),
        pytest.param(
            smi("mismatch.txt", 18),
            ["NVIDIA driver and library do not match (library 535.113), reboot"],
            id="driver-library-mismatch",
        ),
        pytest.param(smi("no-driver.txt", 9), ["the NVIDIA driver does not answer"], id="no-driver"),
        pytest.param(smi("lost.txt", 15), ["GPU 0000:02:00.0 does not answer: GPU is lost"], id="gpu-lost"),
        pytest.param(smi("handle.txt", 255), ["GPU 0000:65:00.0 does not answer: Unknown Error"], id="no-handle"),
        pytest.param(smi("no-devices.txt", 6), ["GPU missing: nvidia-smi finds none"], id="no-devices"),
        pytest.param(Outcome("ended", 3, err="\nodd\n"), ["nvidia-smi failed (exit 3): odd"], id="another-failure"),
        pytest.param(Outcome("ended", -9), ["nvidia-smi failed (exit -9): no message"], id="silent-failure"),
        pytest.param(Outcome("late"), ["nvidia-smi gave no answer in time"], id="late"),
        pytest.param(Outcome("stuck", since="21 Nov 07:00"), ["nvidia-smi hangs since 21 Nov 07:00"], id="stuck"),
        pytest.param(
            Outcome("missing", 127),
            ["nvidia-smi is not there, but this node has NVIDIA hardware or its driver"],
            id="missing",
        ),
    ],
)
def test_what_nvidia_smi_says(outcome: Outcome, reasons: list[str]) -> None:
    assert checks.smi_reasons(outcome, checks.QUERY, 2, 0) == reasons


def test_errors_that_are_allowed() -> None:
    assert checks.smi_reasons(smi("ecc.csv"), checks.QUERY, 2, 3) == [
        "GPU 1 has memory rows to remap, reset it",
        "GPU 1 wants: Drain and Reset",
    ]


def test_parts_of_gpus_are_not_counted() -> None:
    assert checks.smi_reasons(smi("one-of-two.csv"), checks.QUERY, None, 0) == []


def test_a_field_that_an_older_driver_does_not_know_is_left_out() -> None:
    assert checks.without_unknown_fields(checks.QUERY, smi("unknown-field.txt", 2)) == list(checks.QUERY[:-1])
    assert checks.without_unknown_fields(checks.QUERY, smi("healthy.csv")) == list(checks.QUERY)


@pytest.mark.parametrize(
    ("gres", "count"),
    [
        ("", 0),
        ("gpu:2", 2),
        ("gpu", 1),
        ("gpu:l4:2(S:0-1)", 2),
        ("gpu:a100:4(S:0),gpu:l4:2(S:1),nic:3", 6),
        ("gpu:1g.5gb:7", None),
        ("gpu:a100_3g.20gb:2", None),
        ("mps:100", 0),
    ],
)
def test_gpus_of_a_gres(gres: str, count: int | None) -> None:
    assert checks.expected_gpus(gres) == count


@pytest.mark.parametrize(("text", "numbers"), [("", []), ("0", [0]), ("0,2-4", [0, 2, 3, 4]), ("(null)", [])])
def test_gpus_of_a_job(text: str, numbers: list[int]) -> None:
    assert checks.gpu_numbers(text) == numbers


def test_device_files() -> None:
    wanted = ["/dev/nvidia0", "/dev/nvidia1", "/dev/nvidia2"]
    assert checks.device_reasons(wanted, set(wanted)) == []
    assert checks.device_reasons(wanted, {"/dev/nvidia1"}) == ["GPU missing: no device file /dev/nvidia0, /dev/nvidia2"]


def test_faults_in_the_log_of_the_kernel() -> None:
    records = (FIXTURES / "kmsg.txt").read_text().splitlines()
    double_bit = "GPU 0000:35:00 is in error: XID 48, An uncorrectable double bit error (DBE) has been detected on"
    assert checks.xids(records, FATAL) == {
        "0000:35:00 48": double_bit,
        "0000:44:00 79": "GPU 0000:44:00 is in error: XID 79, GPU has fallen off the bus.",
    }
    # After a reset of the first GPU, and with a fault that is called harmless.
    assert list(checks.xids(records, FATAL, after=913000000)) == ["0000:44:00 79"]
    assert list(checks.xids(records, [13])) == ["0000:36:00 13"]


def test_a_process_name_is_no_part_of_a_fault() -> None:
    record = "4,1,9,-;NVRM: Xid (PCI:0000:35:00): 48, pid=1, name=GPU 7 is lost, DBE"
    assert checks.xids([record], FATAL) == {"0000:35:00 48": "GPU 0000:35:00 is in error: XID 48, DBE"}


def stat(text: str = "", **more: object) -> Outcome:
    return Outcome(**{"how": "ended", "out": text, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outcome", "reasons"),
    [
        pytest.param(stat("512000 4096 10 20\n"), [], id="enough"),
        pytest.param(stat("25600 4096 10 20\n"), [], id="just-enough"),
        pytest.param(stat("25599 4096 10 20\n"), ["disk full: /d has 99 MiB free, 100 wanted"], id="too-little"),
        pytest.param(stat("512000 4096 0 20\n"), ["disk full: /d has no free inode"], id="no-inode"),
        pytest.param(stat("512000 4096 0 0\n"), [], id="a-file-system-without-inodes"),
        pytest.param(
            stat(code=1, err="stat: cannot read file system information for '/d': Stale file handle\n"),
            ["/d cannot be read: Stale file handle"],
            id="stale",
        ),
        pytest.param(stat("garbage\n"), ["/d cannot be read: garbage"], id="garbage"),
        pytest.param(stat(how="late"), ["/d does not answer"], id="late"),
        pytest.param(stat(how="stuck", since="21 Nov 07:00"), ["/d does not answer since 21 Nov 07:00"], id="stuck"),
    ],
)
def test_disks(outcome: Outcome, reasons: list[str]) -> None:
    assert checks.disk_reasons([Disk("/d", 100)], {"/d": outcome}) == reasons


MOUNTINFO = """\
22 1 0:20 / / rw,relatime - ext4 /dev/sda1 rw
31 22 0:44 / /home/a\\040b rw,relatime shared:3 - nfs4 server:/home rw
"""


@pytest.mark.parametrize(
    ("path", "outcome", "reasons"),
    [
        pytest.param("/home/a b", stat("1 1 1 1"), [], id="there"),
        pytest.param("/home", stat("1 1 1 1"), ["mount gone: /home"], id="a-plain-folder"),
        pytest.param("/home/a b", stat(how="late"), ["mount gone: /home/a b does not answer"], id="hangs"),
        pytest.param(
            "/home/a b",
            stat(code=1, err="stat: cannot read file system information for '/home/a b': Stale file handle"),
            ["mount gone: /home/a b cannot be read: Stale file handle"],
            id="stale",
        ),
    ],
)
def test_mounts(path: str, outcome: Outcome, reasons: list[str]) -> None:
    assert checks.mount_reasons([path], MOUNTINFO, {path: outcome}) == reasons


@pytest.mark.parametrize(
    ("before", "controller", "after", "reasons"),
    [
        pytest.param(1000.0, 1000.0, 1000.1, [], id="same"),
        pytest.param(1030.9, 1000.0, 1031.0, [], id="within"),
        pytest.param(1042.0, 1000.0, 1042.1, ["clock is 41 s ahead of the controller's"], id="ahead"),
        pytest.param(1000.0, 1100.0, 1000.5, ["clock is 100 s behind the controller's"], id="behind"),
        # A slow answer is no skew: the controller's look may have been at any time of it.
        pytest.param(1000.0, 1040.0, 1040.0, [], id="slow-answer"),
        pytest.param(1000.0, None, 1000.0, [], id="not-told"),
    ],
)
def test_skew(before: float, controller: float | None, after: float, reasons: list[str]) -> None:
    assert checks.skew_reasons(before, controller, after, 30) == reasons


def test_any_skew_is_allowed_by_zero() -> None:
    assert checks.skew_reasons(0, 1000, 1, 0) == []


CHRONY = """\
Reference ID    : A9FEA97B (169.254.169.123)
Stratum         : 4
Ref time (UTC)  : Sat Nov 21 07:00:00 2026
System time     : {offset} seconds {side} of NTP time
Last offset     : +0.000000234 seconds
Leap status     : {leap}
"""


@pytest.mark.parametrize(
    ("offset", "leap", "reasons"),
    [
        ("0.000001245", "Normal", []),
        ("7.400000000", "Normal", ["clock is 7 s slow of its time servers"]),
        ("0.000000000", "Not synchronised", ["clock is not synchronised"]),
    ],
)
def test_chrony(offset: str, leap: str, reasons: list[str]) -> None:
    assert checks.chrony_reasons(CHRONY.format(offset=offset, side="slow", leap=leap), 5, True) == reasons


def test_an_unsynchronised_clock_is_no_fault_unless_it_is_called_one() -> None:
    assert checks.chrony_reasons(CHRONY.format(offset="0.0", side="fast", leap="Not synchronised"), 5, False) == []


def test_processes_that_do_not_end() -> None:
    assert checks.leftover_reasons({"12": [5, 6]}) == ["job 12 left processes that do not end: 5, 6"]
