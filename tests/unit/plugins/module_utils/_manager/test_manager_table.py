# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables, colours and words for people."""

from __future__ import annotations

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._manager.table import (
    Cell,
    Paint,
    cut,
    facts,
    harmless,
    table,
    width,
)
from ansible_collections.llmops.cluster.plugins.module_utils._manager.words import for_people, meant, size, span

PLAIN, BRIGHT = Paint(False), Paint(True)


def test_columns_are_aligned_whatever_their_letters() -> None:
    shown = table(("NAME", "STATE"), [["phi3", "ready"], ["ネコ", "queued"]], paint=PLAIN)
    assert shown == "NAME  STATE\nphi3  ready\nネコ  queued"


def test_the_last_column_gives_way() -> None:
    shown = table(("NAME", "DETAIL"), [["phi3", "a long story about a job"]], paint=PLAIN, columns=20)
    assert shown.splitlines()[1] == "phi3  a long story\u2026"


def test_colours_are_outside_of_the_padding() -> None:
    shown = table(("A", "B"), [[Cell("x", "red"), "y"]], paint=BRIGHT)
    assert shown.splitlines()[1] == "\x1b[31mx\x1b[0m  y"


def test_what_jobs_say_moves_no_cursor() -> None:
    assert harmless("a\x1b[2Jb\nc") == "a [2Jb c"


def test_facts_keep_further_lines_below_the_first() -> None:
    assert facts([("cause", "one\ntwo"), ("fix", "")], PLAIN) == "  cause  one\n         two\n  fix"


@pytest.mark.parametrize(("text", "columns"), [("abc", 3), ("e\u0301a", 2), ("ネ", 2), ("\x1b[1mab\x1b[0m", 2)])
def test_width(text: str, columns: int) -> None:
    assert width(text) == columns


def test_cut_says_so() -> None:
    assert (cut("abcdef", 4), cut("abcd", 4)) == ("abc\u2026", "abcd")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0s"),
        (59.9, "59s"),
        (60, "1m"),
        (190, "3m 10s"),
        (7500, "2h 5m"),
        (3600, "1h"),
        (601200, "6d 23h"),
        (-3, "0s"),
    ],
)
def test_span(seconds: float, words: str) -> None:
    assert span(seconds) == words


@pytest.mark.parametrize(("number", "words"), [(0, "0 B"), (1536, "1.5 KiB"), (5 * 2**40, "5.0 TiB")])
def test_size(number: float, words: str) -> None:
    assert size(number) == words


def test_a_slip_of_the_pen() -> None:
    assert (meant("mitral", ["phi3", "mistral"]), meant("xyz", ["phi3"])) == (" Did you mean mistral?", "")


def test_modules_words_become_those_of_the_command_line() -> None:
    said = "It failed. Correct its options or its script, then run this task again."
    assert for_people(said) == "It failed. Correct its options or its script, then run this command again."


def test_long_values_are_wrapped_and_their_words_left_whole() -> None:
    shown = facts(
        [("fix", "look at /a/very/long/path/that/is/to/be/copied/whole and go on from there")], PLAIN, columns=40
    )
    assert shown.splitlines() == [
        "  fix  look at",
        "       /a/very/long/path/that/is/to/be/copied/whole",
        "       and go on from there",
    ]
