# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans of entries: sizes for those that leave them open, checks of those that give them, text and plain values."""

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.plan import catalogue_plan
from ansible_collections.llmops.cluster.plugins.module_utils._plan.errors import PlanError
from ansible_collections.llmops.cluster.plugins.module_utils._plan.serving import (
    plan_problems,
    planned_overrides,
    serving_plan,
)
from ansible_collections.llmops.cluster.plugins.module_utils._plan.wish import options_of, read_wish
from ansible_collections.llmops.cluster.tests.unit.plugins.module_utils._plan.plan_helpers import config

GOLDEN = Path(__file__).parents[3] / "golden"
L4 = [{"nodes": 2, "gpus": 4, "type": "l4", "partition": "gpu"}]
FEW = {"max_model_len": 8192, "max_num_seqs": 64}
H100 = [{"nodes": 2, "gpus": 4, "type": "h100", "partition": "gpu"}]


def plan(name: str, gpus: t.Any, entry: dict[str, t.Any] | None = None, **more: t.Any) -> dict[str, t.Any]:
    found = {"name": "m", "model_id": f"org/{name}", "port": 8000, **(entry or {})}
    about = {"config": config(name), "weights_bytes": None, **more.pop("about", {})}
    return serving_plan([found], configs={found["name"]: about}, gpus=gpus, **more)[0]


@pytest.mark.parametrize(
    ("name", "gpus", "entry", "state", "sizes"),
    [
        pytest.param("mistral-7b-v0.3", L4, {"max_model_len": 8192}, "planned", {}, id="one-gpu-is-what-there-was"),
        pytest.param("qwen3-30b-a3b-fp8", L4, {}, "planned", {"gpus": 2, "pipeline_parallel_size": 2}, id="pipeline"),
        pytest.param(
            "llama-3.1-70b", H100, {}, "planned", {"gpus": 4, "tensor_parallel_size": 4}, id="tensor-with-nvlink"
        ),
        pytest.param(
            "qwen3-vl-235b",
            H100,
            {},
            "planned",
            {"nodes": 2, "gpus": 4, "tensor_parallel_size": 4, "pipeline_parallel_size": 2},
            id="two-nodes",
        ),
        pytest.param("qwen3-30b-a3b-fp8", L4, {"gpus": 4}, "planned", {"expert_parallel": True}, id="gpus-mean-tensor"),
        pytest.param("qwen3-30b-a3b-fp8", L4, {"gpus": 4, "expert_parallel": False}, "refused", {}, id="not-overruled"),
        pytest.param("llama-3.1-70b", L4, {"nodes": 1}, "refused", {}, id="one-node-is-too-small"),
    ],
)
def test_sizes(name: str, gpus: t.Any, entry: dict[str, t.Any], state: str, sizes: dict[str, t.Any]) -> None:
    found = plan(name, gpus, entry)
    assert (found["state"], found["sizes"]) == (state, sizes)


def test_sizes_go_through_the_catalogue() -> None:
    models = [{"name": "m", "model_id": "org/x", "port": 8000}]
    plans = serving_plan(models, configs={"m": {"config": config("qwen3-30b-a3b-fp8")}}, gpus=L4)
    overrides = planned_overrides({"m": {"max_num_seqs": 4}, "other": {}}, plans)
    assert overrides == {"m": {"gpus": 2, "pipeline_parallel_size": 2, "max_num_seqs": 4}, "other": {}}
    entry = catalogue_plan(models, overrides={"m": overrides["m"]})[0]
    assert (entry["gpus"], entry["tensor_parallel_size"], entry["pipeline_parallel_size"]) == (2, 1, 2)
    assert serving_plan(models, overrides={"m": overrides["m"]}, gpus=L4)[0]["sizes"] == {}


def test_what_defaults_and_the_site_say_counts_as_given() -> None:
    models = [{"name": "m", "model_id": "org/x", "port": 8000}]
    about = {"m": {"config": config("qwen3-30b-a3b-fp8")}}
    by_default = serving_plan(models, {"gpus": 4}, configs=about, gpus=L4)[0]
    by_site = serving_plan(models, overrides={"m": {"gpus": 4}}, configs=about, gpus=L4)[0]
    assert by_default["layout"] == by_site["layout"]
    assert by_site["layout"]["tensor_parallel_size"] == 4


@pytest.mark.parametrize(
    ("about", "gpus", "problem"),
    [
        pytest.param({}, L4, "its config.json is not at hand: the entry stays as it is", id="no-config"),
        pytest.param({"m": {"config": {"a": 1}}}, L4, "Reading the model's config.json failed: ", id="bad-config"),
        pytest.param(
            {"m": {"config": config("mistral-7b-v0.3")}}, [], "Slurm told of no GPUs: the entry stays", id="no-gpus"
        ),
        pytest.param("x", L4, "its config.json is not at hand: the entry stays as it is", id="no-dictionary"),
    ],
)
def test_what_cannot_be_planned_stays_as_it_is(about: t.Any, gpus: t.Any, problem: str) -> None:
    models = [{"name": "m", "model_id": "org/x", "port": 8000}]
    plans = serving_plan(models, configs=about, gpus=gpus)
    assert (plans[0]["state"], plans[0]["sizes"]) == ("unknown", {})
    assert plans[0]["problems"][0].startswith(problem)
    assert plan_problems(plans) == []


def test_problems_name_the_model_and_the_way_out() -> None:
    found = plan("llama-3.1-70b", [{"nodes": 1, "gpus": 4, "type": "l4"}], {"max_model_len": 8192})
    assert plan_problems([found]) == [
        "m: the layout that comes nearest, tensor 2 x pipeline 2 on 4 x l4, lacks 14.9 GiB on each GPU for weights and "
        "working memory. What would do: quantization: fp8 fits on 4 GPUs (16.9 GiB of weights a GPU); 8 GPUs on 2 "
        "nodes of type l4 fit (tensor 2 x pipeline 4), 4 more than there are."
    ]


def test_options_of_the_installed_engine() -> None:
    parser = {"version": "0.99", "options": {"--host": None, "--port": None, "--dtype": ["auto"]}}
    found = plan("mistral-7b-v0.3", L4, {"max_model_len": 8192}, parser=parser)
    assert (
        "--served-model-name: vLLM 0.99 has no such option. Leave it out, or install the release that has it."
        in (found["options"])
    )
    assert f"m: {found['options'][0]}" in plan_problems([found])


def test_several_nodes_can_be_served() -> None:
    found = plan("qwen3-vl-235b", H100)
    assert found["state"] == "planned"
    assert plan_problems([found]) == []


def test_types_of_gpus_that_jobs_ask_for() -> None:
    both = [*L4, {"nodes": 1, "gpus": 8, "type": "h100", "partition": "gpu"}]
    found = plan("mistral-7b-v0.3", both, {"max_model_len": 8192})
    assert (found["gpu"]["type"], found["warnings"]) == (
        "l4",
        ["the partition has GPUs of types h100, l4: vllm_jobs_gres: gpu:l4 asks for these."],
    )
    found = plan("mistral-7b-v0.3", both, {"max_model_len": 8192}, site={"gres": "gpu:h100"})
    assert (found["gpu"]["type"], found["warnings"]) == ("h100", [])
    found = plan("mistral-7b-v0.3", both, {"max_model_len": 8192}, site={"gres": "gpu:t4"})
    assert found["problems"] == [
        "partition: gpu found; allowed is one that has GPUs (Slurm has: none). Name another partition."
    ]


def test_concurrency_of_the_command_line() -> None:
    found = plan("mistral-7b-v0.3", L4, {"max_model_len": 8192}, concurrency="12")
    assert found["sizes"] == {"gpus": 2, "pipeline_parallel_size": 2}
    with pytest.raises(PlanError, match="^Planning failed: concurrency: 'x' found; allowed is a number above 0.$"):
        plan("mistral-7b-v0.3", L4, concurrency="x")


def test_a_partition_that_has_no_gpus() -> None:
    found = plan("mistral-7b-v0.3", L4, {"partition": "cpu"})
    assert (found["state"], found["warnings"]) == ("refused", [])
    assert found["problems"][0].startswith(
        "partition: cpu found; allowed is one that has GPUs (Slurm has: 2 nodes with"
    )


def test_load_time_of_the_published_log() -> None:
    """13.5 GiB took 113 s to load there, which is 122 MiB a second."""
    found = plan("mistral-7b-v0.3", L4, {"max_model_len": 8192}, about={"mib_per_second": 122.0})
    assert found["load"] == {"seconds": 113.3, "mib_per_second": 122.0, "rate": "measured"}
    assumed = plan("mistral-7b-v0.3", L4, {"max_model_len": 8192})
    assert assumed["load"]["rate"] == "assumed"


def test_a_pipeline_over_nodes_loads_its_part_on_each() -> None:
    near = plan("llama-3.1-70b", [{"nodes": 1, "gpus": 8, "type": "l4"}], FEW)
    far = plan("llama-3.1-70b", [{"nodes": 8, "gpus": 1, "type": "l4"}], FEW)
    assert near["load"]["seconds"] == pytest.approx(8 * far["load"]["seconds"], rel=0.01)


def test_on_the_cpu_the_cache_is_predicted_and_nothing_sized() -> None:
    """The lab's own model: 65,536 tokens and 256 requests are what vLLM 0.32.0 reports of it."""
    tiny = {
        "architectures": ["LlamaForCausalLM"],
        "dtype": "bfloat16",
        "head_dim": 64,
        "hidden_size": 128,
        "intermediate_size": 512,
        "max_position_embeddings": 2048,
        "model_type": "llama",
        "num_attention_heads": 2,
        "num_hidden_layers": 4,
        "num_key_value_heads": 1,
        "tie_word_embeddings": True,
        "vocab_size": 512,
    }
    models = [{"name": "phi3", "model_id": "llmops-lab/phi3-tiny", "port": 8000, "max_model_len": 256}]
    site = {"device": "cpu", "engine_args": ["--enforce-eager", "--kv-cache-memory-bytes", "64M"]}
    found = serving_plan(models, configs={"phi3": {"config": tiny, "weights_bytes": 2_103_512}}, site=site)[0]
    assert (found["state"], found["sizes"]) == ("measured", {})
    assert found["cache"] == {
        "block_size": 128,
        "blocks": 512,
        "bytes_per_token": 1024,
        "concurrency": 256.0,
        "tokens": 65_536,
    }
    assert found["text"].splitlines() == [
        "phi3: runs on the CPU (llmops-lab/phi3-tiny, bfloat16)",
        "  weights   2,103,512 bytes, 2,103,512 in files",
        "  cache     65,536 tokens, 1,024 bytes each: 256.00 requests of 256 tokens",
    ]


def test_on_the_cpu_what_crashes_is_refused() -> None:
    found = plan("gpt-oss-20b", [], {"gpus": 2, "expert_parallel": True}, site={"device": "cpu"})
    assert found["state"] == "refused"
    assert any(problem.startswith("expert_parallel: true found") for problem in found["problems"])


LLAMA = {"name": "llama-70b", "model_id": "meta-llama/Llama-3.1-70B-Instruct"}
TEXTS = {
    "mistral-l4": (
        "mistral-7b-v0.3",
        [{"nodes": 2, "gpus": 1, "type": "l4"}],
        {"name": "mistral", "model_id": "mistralai/Mistral-7B-Instruct-v0.3", "max_model_len": 8192},
    ),
    "llama-70b-l4": ("llama-3.1-70b", [{"nodes": 1, "gpus": 8, "type": "l4"}], {**LLAMA, "max_model_len": 8192}),
    "llama-70b-too-small": ("llama-3.1-70b", [{"nodes": 1, "gpus": 4, "type": "l4"}], {**LLAMA, "max_model_len": 8192}),
    "maverick-h100": (
        "llama-4-maverick",
        [{"nodes": 2, "gpus": 4, "type": "h100"}],
        {
            "name": "llama-4-maverick",
            "model_id": "meta-llama/Llama-4-Maverick-17B-128E-Instruct",
            "max_model_len": 131_072,
            "quantization": "fp8",
        },
    ),
}


@pytest.mark.parametrize("case", sorted(TEXTS))
def test_text(case: str) -> None:
    name, gpus, entry = TEXTS[case]
    text = plan(name, gpus, entry)["text"] + "\n"
    path = GOLDEN / f"plan_{case}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text(), f"{path.name} differs; run again with UPDATE_GOLDEN=1 if that is wanted"


@pytest.mark.parametrize("case", sorted(TEXTS))
def test_the_manual_page_shows_what_a_plan_says(case: str) -> None:
    page = (Path(__file__).parents[5] / "docs" / "planning.md").read_text()
    shown = "".join(f"    {line}\n" for line in (GOLDEN / f"plan_{case}.txt").read_text().splitlines())
    assert shown in page


def test_a_plan_is_json() -> None:
    found = plan("qwen3-30b-a3b-fp8", L4)
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
    ("entry", "site", "eager", "graphs"),
    [
        pytest.param({}, {}, False, True, id="nothing-said"),
        pytest.param({"eager": True}, {}, True, False, id="eager"),
        pytest.param({}, {"engine_args": ["--enforce-eager"]}, True, False, id="site"),
        pytest.param({"eager": False}, {"engine_args": ["--enforce-eager"]}, False, True, id="entry-after-site"),
        pytest.param({"optimization_level": 0}, {}, False, False, id="level-0"),
        pytest.param({"cudagraph_capture_sizes": [1]}, {"engine_args": ["--enforce-eager"]}, False, True, id="sizes"),
    ],
)
def test_what_is_compiled(entry: dict[str, t.Any], site: dict[str, t.Any], eager: bool, graphs: bool) -> None:
    found = catalogue_plan([{"name": "x", "model_id": "a/b", "port": 8000, **entry}])[0]
    wish = read_wish(found, site)
    assert (wish.eager, wish.graphs) == (eager, graphs)


def test_graphs_and_adapters_take_memory() -> None:
    def working(**keys: t.Any) -> int:
        entry = {"name": "m", "model_id": "a/b", "port": 8000, "max_model_len": 8192, **keys}
        configs = {"m": {"config": config("mistral-7b-v0.3")}}
        found = serving_plan([entry], configs=configs, gpus=[{"nodes": 1, "gpus": 1, "type": "l4"}])[0]
        return int(found["memory"]["working"])

    without = working()
    assert without - working(eager=True) == 2**29
    assert without - working(optimization_level=0) == 2**29
    adapters = {"a": {"path": "/a"}, "b": {"path": "/b"}}
    # Rank 16, two adapters, 32 layers, 16 bits; a layer has 4096 wide ends, 6144 for keys and values with the queries,
    # and 14336 in the middle.
    numbers = 3 * 4096 + 4096 + (4096 + 2 * 1024) + 4096 + 2 * 4096 + 2 * 14336 + 14336 + 4096
    assert abs(working(lora_adapters=adapters) - without - 2 * 16 * 32 * 2 * numbers) <= 1
    assert working(lora_adapters=adapters, max_loras=1, max_lora_rank=32) == working(lora_adapters=adapters)


def test_options_of_words() -> None:
    words = ["--a", "1", "--b=2", "--flag", "--c_d", "x", "-q", "fp8", "--a", "3"]
    assert options_of(words) == {"--a": "3", "--b": "2", "--flag": "", "--c-d": "x", "-q": "fp8"}


@pytest.mark.parametrize(
    ("words", "env", "expected"),
    [
        pytest.param(["--kv-cache-memory-bytes", "64M"], {}, 64 * 2**20, id="capital-is-binary"),
        pytest.param(["--kv-cache-memory-bytes", "1.5g"], {}, 1_500_000_000, id="small-is-decimal"),
        pytest.param([], {"VLLM_CPU_KVCACHE_SPACE": "2"}, 2 * 2**30, id="space-of-the-cpu"),
        pytest.param(["--kv-cache-memory-bytes", "all"], {}, None, id="no-number"),
    ],
)
def test_size_of_the_cache(words: list[str], env: dict[str, str], expected: int | None) -> None:
    entry = catalogue_plan([{"name": "m", "model_id": "a/b", "port": 8000, "extra_args": words, "env": env}])[0]
    assert read_wish(entry, {}).kv_bytes == expected
