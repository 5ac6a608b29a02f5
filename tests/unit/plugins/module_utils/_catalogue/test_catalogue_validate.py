# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages for catalogues that cannot be used."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.validate import catalogue_problems

COMMIT = "f39ac1d28e925b323eae81227eaba4464caced4e"
PHI = {"name": "phi3", "model_id": "microsoft/Phi-3-mini-4k-instruct", "port": 8000}
KEY_FILE = "the job reads the key from the file in vllm_jobs_api_key_file (0400, owner vllm); put it there only"


def problems(**changes: t.Any) -> list[str]:
    return catalogue_problems([{**PHI, **changes}])


FINE: list[t.Any] = [
    pytest.param({}, id="smallest"),
    pytest.param({"port": "8000", "gpu_memory_utilization": "0.85", "trust_remote_code": "no"}, id="text-of-templates"),
    pytest.param({"gpu_memory_utilization": 1}, id="whole-number-for-a-fraction"),
    pytest.param({"trust_remote_code": True, "revision": COMMIT}, id="remote-code-with-commit"),
    pytest.param({"gpus": 4, "tensor_parallel_size": 2, "pipeline_parallel_size": 2}, id="sizes-that-match"),
    pytest.param({"extra_args": ["--disable-custom-all-reduce", "--max-logprobs", "-1"]}, id="extra-args"),
    pytest.param({"extra_args": ["--api-server-count", "2"]}, id="option-like-a-secret-one"),
    pytest.param({"env": {"TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": 4}}, id="env"),
    pytest.param({"env": {"X": "two\nlines"}, "extra_args": ["--chat-template", "a\nb"]}, id="line-breaks-in-values"),
    pytest.param({"time": "2-00:00:00", "mem": "64G", "partition": "gpu,gpu-long", "qos": "high"}, id="slurm-limits"),
    pytest.param({"description": "two\nlines\n", "quantization": None, "account": ""}, id="nothing-said"),
    pytest.param({"served_model_name": "gpt"}, id="one-served-name"),
]


@pytest.mark.parametrize("changes", FINE)
def test_nothing_to_say(changes: dict[str, t.Any]) -> None:
    assert problems(**changes) == []


WHERE = "vllm_models[0] (phi3): "
LINE_BREAK = " A line break is in it: write it on one line, without YAML's | and >."
BAD: list[t.Any] = [
    pytest.param({"gpu": 1}, "gpu is no known key. Did you mean gpus?", id="unknown-key-near"),
    pytest.param({"port": 80}, "port: 80 (number) found; allowed is a whole number from 1024 to 65535.", id="port-low"),
    pytest.param(
        {"port": 70000}, "port: 70000 (number) found; allowed is a whole number from 1024 to 65535.", id="port-high"
    ),
    pytest.param(
        {"port": True}, "port: True (boolean) found; allowed is a whole number from 1024 to 65535.", id="port-bool"
    ),
    pytest.param(
        {"port": "08000"}, "port: '08000' found; allowed is a whole number from 1024 to 65535.", id="port-octal"
    ),
    pytest.param(
        {"gpu_memory_utilization": float("nan")},
        "gpu_memory_utilization: nan (number) found; allowed is a number from 0.05 to 1.",
        id="not-a-number",
    ),
    pytest.param({"port": "http"}, "port: 'http' found; allowed is a whole number from 1024 to 65535.", id="port-text"),
    pytest.param({"port": None}, "port is missing; needed is a whole number from 1024 to 65535.", id="port-missing"),
    pytest.param(
        {"gpu_memory_utilization": 90},
        "gpu_memory_utilization: 90 (number) found; allowed is a number from 0.05 to 1.",
        id="percent",
    ),
    pytest.param(
        {"dtype": "fp16"},
        "dtype: 'fp16' found; allowed is one of auto, bfloat16, float, float16, float32, half.",
        id="dtype",
    ),
    pytest.param({"expert_parallel": 1}, "expert_parallel: 1 (number) found; allowed is true or false.", id="bool"),
    pytest.param(
        {"model_id": "../../etc"},
        "model_id: '../../etc' found; allowed is 'organisation/name' as on the model hub "
        "(letters, digits, '.', '_', '-').",
        id="model-id-path",
    ),
    pytest.param(
        {"model_id": "a/b\nc"},
        "model_id: 'a/b\\nc' found; allowed is 'organisation/name' as on the model hub "
        "(letters, digits, '.', '_', '-')." + LINE_BREAK,
        id="model-id-line-break",
    ),
    pytest.param(
        {"revision": "--help"},
        "revision: '--help' found; allowed is a 40-digit commit (best), or the name of a tag or branch.",
        id="revision-odd",
    ),
    pytest.param(
        {"port": 6818},
        "port: 6818 found; allowed is any that nothing else listens on, and this one is slurmd's.",
        id="port-of-slurm",
    ),
    pytest.param(
        {"trust_remote_code": True},
        "revision: 'main' found; with trust_remote_code allowed is only a commit of 40 hexadecimal "
        "digits, because any other name may bring new code tomorrow.",
        id="remote-code-without-commit",
    ),
    pytest.param(
        {"context_length": 4096, "max_model_len": 8192},
        "max_model_len: 8192 found; allowed is at most the model's context_length, 4096.",
        id="longer-than-the-model",
    ),
    pytest.param(
        {"gpus": 2, "tensor_parallel_size": 4},
        "tensor_parallel_size 4 x pipeline_parallel_size 1 x data_parallel_size 1 = 4, "
        "but gpus 2 x nodes 1 = 2; allowed is the same number.",
        id="more-parallel-than-gpus",
    ),
    pytest.param(
        {"gpus": 3, "pipeline_parallel_size": 2},
        "gpus 3 x nodes 1 = 3 GPUs cannot be cut into pipeline_parallel_size 2 x "
        "data_parallel_size 1; allowed is a divisor of 3.",
        id="gpus-not-divisible",
    ),
    pytest.param(
        {"nodes": 2, "tensor_parallel_size": 3},
        "tensor_parallel_size 3 x pipeline_parallel_size 1 x data_parallel_size 1 = 3 "
        "GPUs cannot be shared evenly by nodes 2; allowed is a multiple of nodes.",
        id="nodes-not-divisible",
    ),
    pytest.param(
        {"time": 43200},
        "time: 43200 (number) found; allowed is quoted text: 'minutes', 'hours:mm:ss', 'days-hours', "
        "'days-hh:mm:ss' or 'UNLIMITED'. YAML reads 12:00:00 without quotes as a number in base 60: quote it.",
        id="time-base-60",
    ),
    pytest.param(
        {"time": "0:05"},
        "time: '0:05' found; allowed is quoted text: 'minutes', 'hours:mm:ss', 'days-hours', "
        "'days-hh:mm:ss' or 'UNLIMITED'.",
        id="time-of-minutes-and-seconds",
    ),
    pytest.param(
        {"partition": "gpu\n#SBATCH --wrap=x"},
        "partition: 'gpu\\n#SBATCH --wrap=x' found; allowed is names made of letters, "
        "digits, '_', '.' and '-', with commas between." + LINE_BREAK,
        id="partition-injection",
    ),
    pytest.param(
        {"extra_args": "--x"}, "extra_args: '--x' found; allowed is a list of texts, one word each.", id="args-text"
    ),
    pytest.param(
        {"extra_args": ["--seed", 4]},
        "extra_args: element 1: 4 (number) found; allowed is a text (quote numbers) without NUL bytes.",
        id="args-number",
    ),
    pytest.param(
        {"extra_args": ["other/model"]},
        "extra_args: element 0: 'other/model' found; allowed is an option, which begins with '-'.",
        id="args-positional",
    ),
    pytest.param(
        {"extra_args": ["--api-key", "s"]},
        f"extra_args: element 0: --api-key (value not shown) is refused: {KEY_FILE}.",
        id="key",
    ),
    pytest.param(
        {"extra_args": ["--api_key=s3"]},
        f"extra_args: element 0: --api-key (value not shown) is refused: {KEY_FILE}.",
        id="key-underscore",
    ),
    pytest.param(
        {"extra_args": ["--api-k=s3"]},
        f"extra_args: element 0: --api-k (value not shown) is refused: {KEY_FILE}.",
        id="key-short",
    ),
    pytest.param(
        {"extra_args": ["--x", "hf_" + "a" * 30]},
        f"extra_args: element 1: a word that looks like a secret (not shown) is refused: {KEY_FILE}.",
        id="token-as-value",
    ),
    pytest.param(
        {"extra_args": ["--disable-log-requests"]},
        "extra_args: element 0: --disable-log-requests is refused: vLLM no longer has it; "
        "requests are not logged unless --enable-log-requests is given; leave it out.",
        id="removed-flag",
    ),
    pytest.param(
        {"extra_args": ["-tp", "2"]},
        "extra_args: element 0: -tp is refused: write the key tensor_parallel_size instead.",
        id="own-short",
    ),
    pytest.param(
        {"extra_args": ["--port=1"]},
        "extra_args: element 0: --port is refused: write the key port instead.",
        id="own-flag",
    ),
    pytest.param(
        {"extra_args": ["--trust-remote-code"]},
        "extra_args: element 0: --trust-remote-code is refused: write the key trust_remote_code instead.",
        id="remote-code-flag",
    ),
    pytest.param(
        {"extra_args": ["--config", "x.yaml"]},
        "extra_args: element 0: --config is refused: a file could set anything, unseen by "
        "these checks; write its options here.",
        id="config-file",
    ),
    pytest.param(
        {"env": {"VLLM_API_KEY": "s3"}}, f"env: VLLM_API_KEY (value not shown) is refused: {KEY_FILE}.", id="key-in-env"
    ),
    pytest.param(
        {"env": {"MY_DB_PASSWORD": "s3"}},
        "env: MY_DB_PASSWORD (value not shown) is refused: it looks like a secret; a job script is no place for one.",
        id="password-in-env",
    ),
    pytest.param(
        {"env": {"CUDA_VISIBLE_DEVICES": "0"}},
        "env: CUDA_VISIBLE_DEVICES is refused: Slurm sets it for the GPUs it gave to the job.",
        id="gpus-in-env",
    ),
    pytest.param(
        {"env": {"BASH_ENV": "/x"}}, "env: BASH_ENV is refused: it belongs to the job script's shell.", id="shell-env"
    ),
    pytest.param(
        {"env": {"A B": "1"}},
        "env: 'A B' is no name of a variable; allowed are letters, digits and '_', the first no digit.",
        id="env-name",
    ),
    pytest.param(
        {"env": {"A": True}},
        "env: A: True (boolean) found; allowed is a text or a number (quote 'true' and 'false').",
        id="env-bool",
    ),
    pytest.param(
        {"env": ["A=1"]},
        "env: ['A=1'] (list) found; allowed is a dictionary of variables and their texts.",
        id="env-list",
    ),
    pytest.param(
        {"served_model_name": ["a", "b c"]},
        "served_model_name: element 1: 'b c' found; allowed is a name or a list of names made of "
        "letters, digits, '.', '_', ':', '/' and '-'.",
        id="served-name",
    ),
]


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_one_message_says_it(changes: dict[str, t.Any], message: str) -> None:
    assert problems(**changes) == [WHERE + message]


@pytest.mark.parametrize("name", ["a b", "-x", "../x", "a/b", "x;y", "", "a\n#SBATCH", "x" * 49, "ü", "a$(b)"])
def test_unsafe_names_are_refused(name: str) -> None:
    (message,) = catalogue_problems([{**PHI, "name": name}])
    assert "name: " in message
    assert "allowed is 1 to 48 letters, digits, '.', '_' and '-', the first a letter or a digit" in message


def test_missing_keys_are_all_named() -> None:
    assert catalogue_problems([{}]) == [
        "vllm_models[0]: name is missing; needed is 1 to 48 letters, digits, '.', '_' and '-', the first a letter or a "
        "digit.",
        "vllm_models[0]: model_id is missing; needed is 'organisation/name' as on the model hub (letters, digits, '.', "
        "'_', '-').",
        "vllm_models[0]: port is missing; needed is a whole number from 1024 to 65535.",
    ]


def test_names_and_ports_belong_to_one_model() -> None:
    twin = {**PHI, "port": "8000"}
    assert catalogue_problems([PHI, twin]) == [
        "vllm_models[1] (phi3): name: 'phi3' found, as in vllm_models[0] (phi3); allowed is a name "
        "of its own for each model.",
        "vllm_models[1] (phi3): port: '8000' found, as in vllm_models[0] (phi3); allowed is a port "
        "of its own for each model.",
    ]


@pytest.mark.parametrize(
    ("models", "message"),
    [
        pytest.param("phi3", "vllm_models: 'phi3' found; allowed is a list of models.", id="text"),
        pytest.param(
            {"phi3": {}}, "vllm_models: {'phi3': {}} (dictionary) found; allowed is a list of models.", id="dictionary"
        ),
        pytest.param(["phi3"], "vllm_models[0]: 'phi3' found; allowed is a dictionary of keys.", id="list-of-texts"),
    ],
)
def test_wrong_shapes(models: t.Any, message: str) -> None:
    assert catalogue_problems(models) == [message]


@pytest.mark.parametrize(
    ("defaults", "message"),
    [
        pytest.param({"dtyp": "auto"}, "vllm_defaults: dtyp is no known key. Did you mean dtype?", id="unknown"),
        pytest.param({"dtype": "x"}, "vllm_defaults: dtype: 'x' found; allowed is one of", id="value"),
        pytest.param(
            {"port": 8000}, "vllm_defaults: port belongs to each model; allowed are max_model_len,", id="own-key"
        ),
        pytest.param([], "vllm_defaults: [] (list) found; allowed is a dictionary.", id="list"),
    ],
)
def test_bad_defaults(defaults: t.Any, message: str) -> None:
    (found,) = catalogue_problems([PHI], defaults)
    assert found.startswith(message)


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        pytest.param([], [], id="all"),
        pytest.param(None, [], id="none"),
        pytest.param(
            "",
            [
                "model (or vllm_site_models): '' found; allowed is 'a,b' or a list of names. Leave it out to select "
                "all. Known models: phi3."
            ],
            id="empty",
        ),
        pytest.param(
            [""],
            [
                "model (or vllm_site_models): [''] (list) found; allowed is 'a,b' or a list of names. Leave it out to "
                "select all. Known models: phi3."
            ],
            id="list-of-nothing",
        ),
        pytest.param(" phi3 ,", [], id="blanks"),
        pytest.param(["phi3"], [], id="list"),
        pytest.param(
            "phi4",
            ["model (or vllm_site_models): 'phi4' is no model of vllm_models. Did you mean phi3? Known models: phi3."],
            id="unknown",
        ),
        pytest.param(
            7, ["model (or vllm_site_models): 7 (number) found; allowed is 'a,b' or a list of names."], id="number"
        ),
    ],
)
def test_selection(selection: t.Any, expected: list[str]) -> None:
    assert catalogue_problems([PHI], {}, selection) == expected


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        pytest.param(None, [], id="nothing"),
        pytest.param({}, [], id="none"),
        pytest.param({"phi3": None}, [], id="empty-entry"),
        pytest.param({"phi3": {"port": 8002}}, [], id="one-key"),
        pytest.param(
            [],
            [
                "vllm_model_overrides: [] (list) found; allowed is a dictionary of model names, each with a dictionary "
                "of keys. Known models: phi3."
            ],
            id="list",
        ),
        pytest.param(
            "phi3",
            [
                "vllm_model_overrides: 'phi3' found; allowed is a dictionary of model names, each with a dictionary "
                "of keys. Known models: phi3."
            ],
            id="text",
        ),
        pytest.param(
            {"phi4": {"port": 8002}},
            ["vllm_model_overrides: phi4 is no model of vllm_models. Did you mean phi3? Known models: phi3."],
            id="unknown-model",
        ),
        pytest.param(
            {"a\nb": {}},
            ["vllm_model_overrides: 'a\\nb' is no model of vllm_models. Known models: phi3."],
            id="name-with-line-break",
        ),
        pytest.param(
            {"phi3": ["port"]},
            ["vllm_model_overrides: phi3: ['port'] (list) found; allowed is a dictionary of keys."],
            id="keys-as-list",
        ),
        pytest.param(
            {"phi3": {"port": "8000\n", "prt": 1, "dtype": "half"}},
            [
                "vllm_model_overrides: phi3: port: '8000\\n' found; allowed is a whole number from 1024 to 65535."
                + LINE_BREAK,
                "vllm_model_overrides: phi3: prt is no known key. Did you mean port?",
            ],
            id="all-faults-and-told-once",
        ),
    ],
)
def test_overrides(overrides: t.Any, expected: list[str]) -> None:
    assert catalogue_problems([PHI], {}, [], overrides) == expected


def test_all_faults_are_told_at_once() -> None:
    entry = {**PHI, "extra_args": ["--api-key", "-tp"], "env": {"A B": 1, "X": True}}
    assert catalogue_problems(["phi3", entry, {"name": ["x"]}], [], "", "no") == [
        "vllm_defaults: [] (list) found; allowed is a dictionary.",
        "vllm_model_overrides: 'no' found; allowed is a dictionary of model names, each with a dictionary of keys. "
        "Known models: phi3.",
        "vllm_models[0]: 'phi3' found; allowed is a dictionary of keys.",
        f"vllm_models[1] (phi3): extra_args: element 0: --api-key (value not shown) is refused: {KEY_FILE}.",
        "vllm_models[1] (phi3): extra_args: element 1: -tp is refused: write the key tensor_parallel_size instead.",
        "vllm_models[1] (phi3): env: 'A B' is no name of a variable; allowed are letters, digits and '_', the first no "
        "digit.",
        "vllm_models[1] (phi3): env: X: True (boolean) found; allowed is a text or a number (quote 'true' and "
        "'false').",
        "vllm_models[2]: name: ['x'] (list) found; allowed is 1 to 48 letters, digits, '.', '_' and '-', the first a "
        "letter or a digit.",
        "vllm_models[2]: model_id is missing; needed is 'organisation/name' as on the model hub (letters, digits, '.', "
        "'_', '-').",
        "vllm_models[2]: port is missing; needed is a whole number from 1024 to 65535.",
        "model (or vllm_site_models): '' found; allowed is 'a,b' or a list of names. Leave it out to select all. Known "
        "models: phi3.",
    ]


def test_no_message_shows_a_secret() -> None:
    secret = "sk-" + "Z" * 24
    found = catalogue_problems(
        [{**PHI, "extra_args": [f"--api-key={secret}"], "env": {"A_TOKEN": secret}}, {**PHI, "env": {"X": secret}}]
    )
    assert len(found) >= 3
    assert secret not in "\n".join(found)
