"""Engines beside each other and after each other on one node, by the command line of the rendered job script."""

from __future__ import annotations

import shlex
import time
from concurrent.futures import ThreadPoolExecutor

from .figures import Figure, ratio, rounded
from .measure import KEY, PORT, Bench

TURNS = 3
HOST = "gpu1"
OTHER_PORT = PORT + 1
CACHE = "/tmp/bench-compiled"
# What torch compiles with on a CPU.
COMPILERS = "apt-get install -qq -y --no-install-recommends g++ libc6-dev python3-dev >/dev/null 2>&1"


def figures(bench: Bench) -> list[Figure]:
    return [two_on_one_node(bench), warm_restart(bench)]


def two_on_one_node(bench: Bench) -> Figure:
    """Two engines started together until both answer, beside one alone: neither waits for what the other holds."""
    exports, engine = bench.engine()
    other = engine.replace(f"--port {PORT}", f"--port {OTHER_PORT}")
    both = [(exports, engine, PORT), (exports, other, OTHER_PORT)]
    alone, together = [], []
    for _turn in range(TURNS):
        alone.append(_seconds(bench, both[:1]))
        together.append(_seconds(bench, both))
    print(f"one engine {rounded(alone)} s, two at once {rounded(together)} s", flush=True)
    return ratio("two engines started on one node / one", min(together), min(alone), 2)


def warm_restart(bench: Bench) -> Figure:
    """An engine that compiles, started again with what it has compiled, beside its first start."""
    bench.on(HOST, COMPILERS)
    exports, engine = bench.engine()
    exports = f"{exports} VLLM_CACHE_ROOT={CACHE} TORCHINDUCTOR_CACHE_DIR={CACHE}/inductor"
    compiling = [(exports, engine.replace("--enforce-eager", ""), PORT)]
    cold, warm = [], []
    for _turn in range(TURNS):
        bench.on(HOST, f"rm -rf {CACHE}")
        cold.append(_seconds(bench, compiling))
        warm.append(_seconds(bench, compiling))
    bench.on(HOST, f"rm -rf {CACHE}")
    print(f"compiling engine, cold {rounded(cold)} s, warm {rounded(warm)} s", flush=True)
    return ratio("engine restart with warm compile cache / cold", min(warm), min(cold), 1)


def _seconds(bench: Bench, engines: list[tuple[str, str, int]]) -> float:
    """From the start of all of them to the last one's first completion."""
    # The key goes in by the environment: on a command line every user of the host could read it.
    secret = f"VLLM_API_KEY=$(cat {KEY}); export VLLM_API_KEY"
    begin = time.monotonic()
    pids = [
        bench.on(HOST, f"{secret}; env {exports} setsid {engine} >/tmp/bench-{port}.log 2>&1 & echo $!", user="vllm")
        for exports, engine, port in engines
    ]
    with ThreadPoolExecutor(len(engines)) as pool:
        list(pool.map(bench.until_completion, [port for _exports, _engine, port in engines]))
    took = time.monotonic() - begin
    for pid in map(shlex.quote, pids):
        bench.on(HOST, f"kill {pid}; while kill -0 {pid} 2>/dev/null; do sleep 0.1; done", user="vllm")
    return took
