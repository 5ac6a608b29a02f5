# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which values Slurm reads as they were meant, and what is said of the others."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.keys import (
    BOOL,
    COUNT,
    FLOAT,
    MINUTES,
    PARTITION_KEYS,
    SECONDS,
    SWITCH,
    TEXT,
    TIME,
    U16,
    U64,
)
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.lines import merge, normal, snake
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_conf.values import (
    RefusedError,
    time_minutes,
    written,
)

STATES = PARTITION_KEYS["State"]
TIMES = "allowed is minutes, minutes:seconds, hours:minutes:seconds, days-hours[:minutes[:seconds]] or INFINITE"
QUOTE = "YAML reads 1:30:00 without quotes as the number 5400, which Slurm would take for minutes"


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        pytest.param(TEXT, ["a", "b"], "a,b", id="list"),
        pytest.param(TEXT, "a b", "a b", id="blank"),
        pytest.param(TEXT, "Größe", "Größe", id="umlaut"),
        pytest.param(COUNT, 65533, "65533", id="count"),
        pytest.param(COUNT, "4", "4", id="count-as-text"),
        pytest.param(U16, 0, "0", id="zero"),
        pytest.param(U16, "infinite", "infinite", id="infinite"),
        pytest.param(U64, 2_097_152, "2097152", id="memory"),
        pytest.param(BOOL, True, "yes", id="yes"),
        pytest.param(BOOL, "NO", "no", id="no"),
        pytest.param(TIME, "90", "90", id="minutes"),
        pytest.param(TIME, "1:30:00", "1:30:00", id="hours"),
        pytest.param(TIME, "7-00:00:00", "7-00:00:00", id="days"),
        pytest.param(TIME, "2-12", "2-12", id="days-hours"),
        pytest.param(TIME, "Unlimited", "Unlimited", id="unlimited"),
        pytest.param(TIME, 0, "0", id="zero-is-clear"),
        pytest.param(MINUTES, 65533, "65533", id="over-time"),
        pytest.param(SECONDS, -1, "-1", id="never-suspend"),
        pytest.param(SECONDS, "INFINITE", "INFINITE", id="never-suspend-in-words"),
        pytest.param(FLOAT, 98.5, "98.5", id="percent"),
        pytest.param(SWITCH, False, "OFF", id="off-is-a-word"),
        pytest.param(SWITCH, ["SUSPEND", "GANG"], "SUSPEND,GANG", id="switch-list"),
        pytest.param(STATES, "up", "up", id="choice"),
        pytest.param(PARTITION_KEYS["OverSubscribe"], True, "YES", id="choice-yes"),
        pytest.param(PARTITION_KEYS["OverSubscribe"], False, "NO", id="choice-no"),
        pytest.param(PARTITION_KEYS["OverSubscribe"], "FORCE:4", "FORCE:4", id="choice-with-number"),
        pytest.param(PARTITION_KEYS["CpuBind"], False, "off", id="choice-off"),
    ],
)
def test_written(kind: t.Any, value: t.Any, text: str) -> None:
    assert written(value, kind) == text


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        pytest.param(COUNT, -4, "allowed is a whole number from 1 to 65533", id="negative"),
        pytest.param(COUNT, "4k", "allowed is a whole number from 1 to 65533", id="suffix"),
        pytest.param(COUNT, "010", "allowed is a whole number from 1 to 65533", id="octal"),
        pytest.param(COUNT, 1.5, "allowed is a whole number from 1 to 65533", id="fraction"),
        pytest.param(COUNT, True, "allowed is a whole number from 1 to 65533", id="boolean"),
        pytest.param(COUNT, "UNLIMITED", "allowed is a whole number from 1 to 65533", id="word"),
        pytest.param(U16, 65536, "allowed is a whole number from 0 to 65535 or INFINITE", id="too-big"),
        pytest.param(U64, -1, "allowed is a whole number from 0 on or INFINITE", id="memory"),
        pytest.param(BOOL, "maybe", "allowed are true and false", id="boolean-word"),
        pytest.param(TIME, 5400, f"{TIMES}. {QUOTE}: write the time in quotes", id="sexagesimal"),
        pytest.param(TIME, 90.5, f"{TIMES}. {QUOTE}: write the time in quotes", id="sexagesimal-fraction"),
        pytest.param(TIME, "1h", TIMES, id="time-word"),
        pytest.param(TIME, "1:2:3:4", TIMES, id="time-too-long"),
        pytest.param(TIME, ["1"], TIMES, id="time-list"),
        pytest.param(FLOAT, "-1", "allowed is a number, not below 0", id="negative-percent"),
        pytest.param(STATES, "OP", "allowed are UP, DOWN, DRAIN, INACTIVE", id="choice"),
        pytest.param(STATES, True, "allowed are UP, DOWN, DRAIN, INACTIVE", id="choice-boolean"),
        pytest.param(TEXT, {"a": 1}, "allowed are texts, numbers, booleans and lists", id="dictionary"),
        pytest.param(U16, None, "allowed are texts, numbers, booleans and lists", id="null"),
        pytest.param(TEXT, " a", "allowed is a text with something in it and no blanks around it", id="blank-before"),
        pytest.param(TEXT, "a\x85b", "line breaks, control characters and '#' cannot be written", id="c1-control"),
        pytest.param(TEXT, "a\u2028b", "line breaks, control characters and '#' cannot be written", id="separator"),
        pytest.param(TEXT, ["a", "b\nc"], "line breaks, control characters and '#' cannot be written", id="in-a-list"),
    ],
)
def test_refused(kind: t.Any, value: t.Any, message: str) -> None:
    with pytest.raises(RefusedError) as error:
        written(value, kind)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("90", 90),
        ("90:30", 90),
        ("1:30:00", 90),
        ("1-1", 1500),
        ("1-1:30", 1530),
        ("7-00:00:00", 10080),
        ("INFINITE", None),
    ],
)
def test_time_minutes(text: str, minutes: int | None) -> None:
    assert time_minutes(text) == minutes


@pytest.mark.parametrize(
    ("key", "people"),
    [
        ("MaxCPUsPerNode", "max_cpus_per_node"),
        ("DefCpuPerGPU", "def_cpu_per_gpu"),
        ("TRESBillingWeights", "tres_billing_weights"),
        ("CPUs", "cpus"),
        ("LLN", "lln"),
        ("CpuSpecList", "cpu_spec_list"),
    ],
)
def test_keys_as_people_write_them(key: str, people: str) -> None:
    assert snake(key) == people
    assert normal(people) == normal(key)


def test_merge_compares_keys_as_slurm_does() -> None:
    assert merge({"KillWait": 30, "MaxTime": 1}, {"killwait": 60, "max_time": None}) == {
        "KillWait": 60,
        "MaxTime": None,
    }


def test_merge_keeps_a_second_spelling_for_rendering_to_refuse() -> None:
    assert merge({"KillWait": 30}, {"killwait": 60, "KILLWAIT": 90}) == {"KillWait": 60, "KILLWAIT": 90}
