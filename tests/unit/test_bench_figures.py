"""A figure is within its budget or over it, and the table says which."""

from __future__ import annotations

from bench.figures import Figure, ratio, table


def test_a_figure_is_judged_by_its_budget() -> None:
    assert Figure("f", 60, "s", 60).ok
    assert not Figure("f", 60.1, "s", 60).ok
    assert ratio("r", 3, 2, 1.05).record() == {
        "name": "r",
        "value": 1.5,
        "unit": "ratio",
        "budget": 1.05,
        "baseline": 1.0,
        "ok": False,
    }


def test_table_names_what_is_over() -> None:
    lines = table([Figure("demo", 10, "s", 60), ratio("ready", 2, 1, 1.05)]).splitlines()
    assert lines[1].split() == ["demo", "10", "s", "60", "-", "ok"]
    assert lines[2].split() == ["ready", "2", "ratio", "1.05", "1", "OVER"]
