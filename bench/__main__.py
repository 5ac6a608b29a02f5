"""Measure, print a table, write build/bench.json. Takes 15 minutes on two quiet cores: it makes a demo from nothing.

`python -m bench --warm` leaves the cold start out and uses the cache that is there; `python -m bench --render` measures
only the checks and the configuration of Slurm, which takes half a minute and needs no lab.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from lab.settings import CHECKOUT, cache_dir

from . import converge, engines, jobs, many_hosts, module_cost, render, scale
from .figures import Figure, ratio, table
from .measure import Bench

NAME = "bench"


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--warm", action="store_true", help="without the start from an empty cache")
    parser.add_argument(
        "--render", action="store_true", help="only what needs no lab: checks and the configuration of Slurm"
    )
    asked = parser.parse_args()
    figures: list[Figure] = [*render.figures(), *many_hosts.figures()]
    if not asked.warm and not asked.render:
        figures += cold(cache_dir() / "bench-cold")
    if not asked.render:
        figures += warm()
    print(f"\n{table(figures)}")
    target = CHECKOUT / "build/bench.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps([one.record() for one in figures], indent=2) + "\n")
    print(f"\nWritten: {target.relative_to(CHECKOUT)}")
    return 0 if all(one.ok for one in figures) else 1


def _lab(command: str, environment: dict[str, str] | None = None) -> float:
    begin = time.monotonic()
    argv = [sys.executable, "-m", "lab", command, "--name", NAME]
    subprocess.run(argv, cwd=CHECKOUT, check=True, env={**os.environ, **(environment or {})})
    return time.monotonic() - begin


def cold(cache: Path) -> list[Figure]:
    """The demo with an empty cache of its own, and what the builds cost beside what they save."""
    shutil.rmtree(cache, ignore_errors=True)
    environment = {"LLMOPS_CACHE": str(cache)}
    _lab("down", environment)
    took = _lab("demo", environment)
    figures = [Figure("make demo, nothing cached", took, "s", 20 * 60)]
    os.environ.update(environment)
    try:
        bench = Bench.of(NAME)
        figures.append(bench.install_share())
        first_site = bench.last_site_seconds()
        _lab("demo")
        figures.append(ratio("second site.yml / first", bench.last_site_seconds(), first_site, 0.10))
    finally:
        _lab("down", environment)
        del os.environ["LLMOPS_CACHE"]
        shutil.rmtree(cache, ignore_errors=True)
    return figures


def warm() -> list[Figure]:
    """The demo from the cache, again on the lab that is up, and what it serves."""
    _lab("down")
    first = _lab("demo")
    again = _lab("demo")
    bench = Bench.of(NAME)
    figures = [
        Figure("make demo, cache warm, no lab", first, "s", 6 * 60),
        Figure("make demo again", again, "s", 60),
        Figure("make demo again, changed", bench.last_site_changes(), "tasks", 0),
        *converge.figures(bench.lab),
        bench.hub_share(),
        bench.memory(),
        bench.ready_share(),
        *engines.figures(bench),
        *jobs.figures(bench.lab),
        *module_cost.figures(bench.lab),
        *scale.figures(bench.lab),
    ]
    _lab("down")
    return figures


sys.exit(main())
