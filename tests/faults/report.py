"""The closing table: by class, how many faults ended right, for the module and for a plain script beside it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Record:
    """How one fault ended. `wrong` is empty when all was right; None: not run."""

    id: str
    kind: str
    wrong: tuple[str, ...] | None
    seconds: float
    plain_wrong: tuple[str, ...] | None = None


def _count(outcomes: list[tuple[str, ...] | None]) -> str:
    ran = [one for one in outcomes if one is not None]
    return f"{sum(not one for one in ran)} of {len(ran)}" if ran else "-"


def table(records: list[Record]) -> str:
    kinds = list(dict.fromkeys(record.kind for record in records))
    rows = [("class of faults", "slurm_job", "plain sbatch and retry")]
    for kind in [*kinds, ""]:
        own = [record for record in records if kind in ("", record.kind)]
        counts = _count([record.wrong for record in own]), _count([record.plain_wrong for record in own])
        rows.append((kind or "all", *counts))
    width = max(len(row[0]) for row in rows)
    return "\n".join(f"{name:<{width}}  {ours:>9}  {plain:>22}" for name, ours, plain in rows)


def as_data(records: list[Record]) -> dict[str, Any]:
    return {
        "faults": [asdict(record) for record in records],
        "slurm_job": _count([record.wrong for record in records]),
        "plain": _count([record.plain_wrong for record in records]),
    }
