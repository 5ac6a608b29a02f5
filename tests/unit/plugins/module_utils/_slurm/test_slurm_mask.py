# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import time

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.mask import mask, mask_argv, secret_values


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("using hf_AbCdEfGhIjKlMn now", "using ******** now", id="hub-token"),
        pytest.param("key sk-proj-1234567890", "key ********", id="openai-key"),
        pytest.param("Authorization: Bearer abc.def-123", "Authorization: Bearer ********", id="bearer"),
        pytest.param("'api_key': ['topsecret'],", "'api_key': ['********'],", id="vllm-non-default-args"),
        pytest.param("VLLM_API_KEY=abcdef ok", "VLLM_API_KEY=******** ok", id="assignment"),
        pytest.param('{"password": "hunter22", "a": 1}', '{"password": "********", "a": 1}', id="json"),
        pytest.param("--api-key abcdef --port 1", "--api-key ******** --port 1", id="option"),
        pytest.param("http://me:pass@proxy:3128/", "http://me:********@proxy:3128/", id="url"),
        pytest.param("prompt_tokens: 12345, max_tokens=4096", "prompt_tokens: 12345, max_tokens=4096", id="counts"),
        pytest.param("Loading tokenizer: phi3", "Loading tokenizer: phi3", id="tokenizer"),
        pytest.param("a known-value here", "a ******** here", id="given"),
    ],
)
def test_mask(text: str, shown: str) -> None:
    assert mask(text, ["known-value"]) == shown


def test_secret_values_are_told_by_the_name() -> None:
    environment = {"API_KEY": "longvalue", "HF_TOKEN": "a-longer-value", "PASSWORD": "short", "THREADS": "8888888"}
    assert secret_values(environment) == ["a-longer-value", "longvalue"]


def test_argument_lists() -> None:
    argv = ["serve.sh", "--api-key", "abc", "--port", "8000", "--hf-token=hf_abcdefghijk"]
    assert mask_argv(argv) == ["serve.sh", "--api-key", "********", "--port", "8000", "--hf-token=********"]


@pytest.mark.parametrize("text", ["x" * 32768, "--a-" * 8192, "token " * 5461, "bearer " * 4681, "token" + " " * 32000])
def test_a_long_log_is_masked_at_once(text: str) -> None:
    # The first one took a minute once: quadratic searching shows at this length, and nothing else comes near a second.
    begun = time.process_time()
    mask(text)
    assert time.process_time() - begun < 1
