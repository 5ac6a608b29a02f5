"""One figure: what was measured, against what, and whether it is within its budget. No I/O here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """`value` is judged against `budget`; `baseline` is what it was measured beside, in the same unit, if anything."""

    name: str
    value: float
    unit: str
    budget: float
    baseline: float | None = None

    @property
    def ok(self) -> bool:
        return self.value <= self.budget

    def record(self) -> dict[str, Any]:
        return {**asdict(self), "ok": self.ok}


def ratio(name: str, value: float, baseline: float, budget: float) -> Figure:
    """A figure that is a share of its baseline."""
    return Figure(name, value / baseline, "ratio", budget, 1.0)


def rounded(times: list[float]) -> list[float]:
    """Seconds, for the output."""
    return [round(seconds, 2) for seconds in times]


def table(figures: Iterable[Figure]) -> str:
    """Text for a terminal."""
    rows = [("figure", "value", "budget", "baseline", "")]
    for one in figures:
        baseline = "-" if one.baseline is None else f"{one.baseline:.3g}"
        verdict = "ok" if one.ok else "OVER"
        rows.append((one.name, f"{one.value:.3g} {one.unit}", f"{one.budget:.3g}", baseline, verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
