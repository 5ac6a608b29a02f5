# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys that tune an engine: what it is told, and what contradicts itself."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.engine import repositories
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.flags import ENTRY_FLAGS, flag_problem
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.jobs import batch_job, serve_job
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.plan import catalogue_plan
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.validate import catalogue_problems

COMMIT = "f39ac1d28e925b323eae81227eaba4464caced4e"
PHI = {"name": "phi3", "model_id": "microsoft/Phi-3-mini-4k-instruct", "port": 8000}
SQL = {"model_id": "lab/sql-lora", "revision": COMMIT}
SQL_FOLDER = f"/opt/models/models--lab--sql-lora/snapshots/{COMMIT}"
PARSER = json.loads((Path(__file__).parents[3] / "fixtures" / "vllm-0.32.0-cpu" / "options.json").read_text())
LIMITS = "allowed is a dictionary of image, video and audio with whole numbers from 0 to 999."
ADAPTERS = (
    "allowed is a dictionary of names (letters, digits, '.', '_', ':' and '-'), each with model_id and a revision of "
    "40 hexadecimal digits, or with an absolute path."
)


def entry(defaults: dict[str, t.Any] | None = None, **changes: t.Any) -> dict[str, t.Any]:
    return catalogue_plan([{**PHI, **changes}], defaults)[0]


def argv(site: dict[str, t.Any] | None = None, **changes: t.Any) -> list[str]:
    return t.cast("list[str]", serve_job(entry(**changes), site or {})["argv"])


def words_of(found: list[str], flag: str) -> list[str]:
    """The values that stand behind an option."""
    rest = found[found.index(flag) + 1 :]
    end = next((index for index, word in enumerate(rest) if word.startswith("--")), len(rest))
    return rest[:end]


EAGER_SITE = {"engine_args": ["--enforce-eager"]}
COMPILING: list[t.Any] = [
    pytest.param({}, {}, [], id="nothing-said"),
    pytest.param({}, EAGER_SITE, ["--enforce-eager"], id="site"),
    pytest.param({"eager": True}, {}, ["--enforce-eager"], id="eager"),
    pytest.param({"eager": False}, EAGER_SITE, ["--enforce-eager", "--no-enforce-eager"], id="entry-after-site"),
    pytest.param({"optimization_level": 0}, {}, ["--optimization-level", "0"], id="level-0"),
    pytest.param({"optimization_level": 3}, {}, ["--optimization-level", "3"], id="level-3"),
    pytest.param(
        {"optimization_level": 1},
        EAGER_SITE,
        ["--enforce-eager", "--no-enforce-eager", "--optimization-level", "1"],
        id="a-level-is-not-eager",
    ),
    pytest.param(
        {"optimization_level": 0}, EAGER_SITE, ["--enforce-eager", "--optimization-level", "0"], id="level-0-is-eager"
    ),
    pytest.param(
        {"cudagraph_capture_sizes": [8, "1", 4, 8]}, {}, ["--cudagraph-capture-sizes", "1", "4", "8"], id="sizes"
    ),
]


@pytest.mark.parametrize(("changes", "site", "words"), COMPILING)
def test_compiling(changes: dict[str, t.Any], site: dict[str, t.Any], words: list[str]) -> None:
    found = argv(site, **changes)
    assert found[found.index("--shutdown-timeout") + 2 :] == words


def test_extra_args_are_the_last_words() -> None:
    assert argv(eager=True, extra_args=["--seed", "1"])[-3:] == ["--enforce-eager", "--seed", "1"]


def test_the_same_for_batches() -> None:
    assert batch_job(entry(eager=True), {})["argv"][-1] == "--enforce-eager"


def test_defaults_of_the_group() -> None:
    defaults = {"eager": True, "limit_mm_per_prompt": {"image": 2}, "max_lora_rank": 64}
    found = entry(defaults)
    assert (found["eager"], found["limit_mm_per_prompt"], found["max_lora_rank"]) == (True, {"image": 2}, 64)
    assert entry(defaults, eager=False)["eager"] is False
    found = entry(defaults, eager=False, cudagraph_capture_sizes=[1])
    assert found["cudagraph_capture_sizes"] == [1]


def test_media() -> None:
    assert words_of(argv(limit_mm_per_prompt={"video": 0, "image": "4"}), "--limit-mm-per-prompt") == [
        '{"image": 4, "video": 0}'
    ]


@pytest.mark.parametrize(
    ("changes", "task"),
    [
        pytest.param({}, "generate", id="nothing-said"),
        pytest.param({"runner": "generate"}, "generate", id="generate"),
        pytest.param({"runner": "pooling"}, "embed", id="pooling"),
        pytest.param({"runner": "pooling", "convert": "classify"}, "classify", id="classify"),
        pytest.param({"convert": "embed"}, "embed", id="embed"),
    ],
)
def test_what_proves_that_it_works(changes: dict[str, t.Any], task: str) -> None:
    job = serve_job(entry(**changes), {})
    assert job["task"] == task
    for key, value in changes.items():
        assert words_of(job["argv"], f"--{key}") == [value]


def test_adapters() -> None:
    adapters = {"sql": SQL, "poems": {"path": "/srv/adapters/poems"}}
    job = serve_job(entry(lora_adapters=adapters, max_lora_rank="32"), {})
    assert "--enable-lora" in job["argv"]
    assert words_of(job["argv"], "--lora-modules") == [f"sql={SQL_FOLDER}", "poems=/srv/adapters/poems"]
    assert words_of(job["argv"], "--max-loras") == ["2"]
    assert words_of(job["argv"], "--max-lora-rank") == ["32"]
    assert json.loads(job["endpoint"])["models"] == ["microsoft/Phi-3-mini-4k-instruct", "phi3", "sql", "poems"]
    assert job["adapters"] == {"sql": SQL_FOLDER, "poems": "/srv/adapters/poems"}
    assert words_of(argv(lora_adapters=adapters, max_loras=1), "--max-loras") == ["1"]
    assert "--enable-lora" not in argv()


def test_what_is_downloaded() -> None:
    first = {"lora_adapters": {"sql": SQL, "poems": {"path": "/srv/poems"}}}
    entries = catalogue_plan([{**PHI, **first}, {**PHI, **first, "name": "other", "port": 8001}])
    assert repositories(entries) == [
        {"name": "phi3", "model_id": PHI["model_id"], "revision": "main"},
        {"name": "phi3, sql", "model_id": "lab/sql-lora", "revision": COMMIT},
    ]


WHERE = "vllm_models[0] (phi3): "
BAD: list[t.Any] = [
    pytest.param(
        {"eager": True, "cudagraph_capture_sizes": [1]},
        "cudagraph_capture_sizes: found beside eager: true, which captures no graphs; allowed is one of the two.",
        id="eager-with-sizes",
    ),
    pytest.param(
        {"eager": True, "optimization_level": 2},
        "optimization_level: 2 found beside eager: true, which compiles nothing; allowed is one of the two.",
        id="eager-with-a-level",
    ),
    pytest.param(
        {"optimization_level": 0, "cudagraph_capture_sizes": [1]},
        "cudagraph_capture_sizes: found beside optimization_level: 0, which captures no graphs; allowed is a level of "
        "1 to 3, or no sizes.",
        id="level-0-with-sizes",
    ),
    pytest.param(
        {"max_num_batched_tokens": 64, "cudagraph_capture_sizes": [1, 128]},
        "cudagraph_capture_sizes: 128 found; allowed is at most max_num_batched_tokens, 64.",
        id="sizes-beyond-a-step",
    ),
    pytest.param(
        {"cudagraph_capture_sizes": [0]},
        "cudagraph_capture_sizes: element 0: 0 (number) found; allowed is a whole number from 1 to 65536.",
        id="size-0",
    ),
    pytest.param(
        {"cudagraph_capture_sizes": "1,2"},
        "cudagraph_capture_sizes: '1,2' found; allowed is a list of whole numbers from 1 to 65536.",
        id="sizes-as-text",
    ),
    pytest.param(
        {"optimization_level": 4},
        "optimization_level: 4 (number) found; allowed is a whole number from 0 to 3.",
        id="level-4",
    ),
    pytest.param(
        {"max_lora_rank": 12},
        "max_lora_rank: 12 (number) found; allowed is one of 1, 8, 16, 32, 64, 128, 256, 320, 512.",
        id="rank",
    ),
    pytest.param(
        {"max_loras": 2},
        "max_loras: 2 found without lora_adapters; allowed is to name the adapters, or to leave it out.",
        id="adapters-at-once-of-none",
    ),
    pytest.param(
        {"enforce_eager": True}, "enforce_eager is no known key. Did you mean eager?", id="the-engine's-own-word"
    ),
    pytest.param(
        {"extra_args": ["--profiler-config.profiler=torch"]},
        "extra_args: element 0: --profiler-config is refused: write the key profiler instead.",
        id="an-option-part-by-part",
    ),
    pytest.param({"limit_mm_per_prompt": 4}, f"limit_mm_per_prompt: 4 (number) found; {LIMITS}", id="limit-as-number"),
    pytest.param(
        {"limit_mm_per_prompt": {"images": 4}},
        f"limit_mm_per_prompt: 'images': 4 (number) found; {LIMITS}",
        id="unknown-modality",
    ),
    pytest.param(
        {"limit_mm_per_prompt": {"image": 4}, "vision": False},
        "limit_mm_per_prompt: found beside vision: false, which reads no images; allowed is one of them.",
        id="limits-without-vision",
    ),
    pytest.param(
        {"runner": "generate", "convert": "embed"},
        "convert: embed found; allowed with runner: pooling, or without a runner.",
        id="convert-of-a-generator",
    ),
    pytest.param({"lora_adapters": ["sql"]}, f"lora_adapters: ['sql'] (list) found; {ADAPTERS}", id="adapters-as-list"),
    pytest.param(
        {"lora_adapters": {"phi3": {"path": "/a"}}},
        "lora_adapters: phi3 found; allowed is a name that the model itself is not served under.",
        id="adapter-with-the-model's-name",
    ),
    pytest.param(
        {"lora_adapters": {"sql": {**SQL, "revision": "main"}}},
        "lora_adapters: sql: revision: 'main' found; allowed is a commit of 40 hexadecimal digits: the engine is given "
        "the folder of one commit.",
        id="adapter-of-a-branch",
    ),
    pytest.param(
        {"lora_adapters": {"sql": {"model_id": "a/b"}}},
        "lora_adapters: sql: model_id found; allowed is model_id with revision, or path alone.",
        id="adapter-without-revision",
    ),
    pytest.param(
        {"lora_adapters": {"sql": {"path": "../a"}}},
        "lora_adapters: sql: path: '../a' found; allowed is an absolute path made of letters, digits, '.', '_', '@', "
        "'+' and '-'.",
        id="adapter-with-a-path-that-climbs",
    ),
    pytest.param(
        {"lora_adapters": {"a=b": {"path": "/a"}}},
        "lora_adapters: 'a=b' found as a name; allowed are letters, digits, '.', '_', ':' and '-', the first a letter "
        "or digit.",
        id="adapter-with-an-equals-sign",
    ),
]


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_message(changes: dict[str, t.Any], message: str) -> None:
    assert catalogue_problems([{**PHI, **changes}]) == [WHERE + message]


def test_the_defaults_of_all_models_may_speak_of_adapters() -> None:
    assert catalogue_problems([PHI], {"max_loras": 2, "max_lora_rank": 8}) == []


@pytest.mark.parametrize("flag", [*ENTRY_FLAGS, "-O2", "-O=2", "-O", "--enforce_eager"])
def test_a_key_stands_for_it_in_entries_and_a_site_may_say_it(flag: str) -> None:
    said = flag_problem(flag)
    assert said is not None
    assert said.startswith(flag.replace("_", "-").split("=")[0] if flag.startswith("--") else "-O")
    assert "is refused: write the key " in said
    assert flag_problem(flag, of_entry=False) is None


def test_no_other_option_of_the_engine_is_taken_for_one_of_these() -> None:
    keys = {f"{flag} is refused: write the key {key} instead" for flag, key in ENTRY_FLAGS.items()}
    wrong = {
        flag
        for flag in PARSER["options"]
        if flag not in ENTRY_FLAGS
        and flag != "-O"
        and (flag_problem(flag) or "").endswith("instead")
        # The short and the negated forms of the same options.
        and flag_problem(flag, of_entry=False) is None
    }
    assert keys
    assert wrong <= {"--no-enable-lora"}


def test_a_seed_folder_needs_a_cache_on_the_node() -> None:
    with pytest.raises(Exception, match=r"vllm_jobs_cache_seed_dir: '/s' found; allowed beside vllm_jobs_cache_dir"):
        argv({"cache_seed_dir": "/s"})
