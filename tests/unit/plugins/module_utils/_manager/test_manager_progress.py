# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far an engine is, by its log."""

from __future__ import annotations

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._manager.progress import Progress, read_progress

BEGIN = "INFO 11-21 10:00:00 [model.py:541] Resolved architecture: LlamaForCausalLM\n"
LOAD = BEGIN + "INFO 11-21 10:00:04 [gpu_model_runner.py:5040] Starting to load model /opt/models/x...\n"
SHARDS = (
    "\rLoading safetensors checkpoint shards:   0% Completed | 0/4 [00:00<?, ?it/s]"
    "\rLoading safetensors checkpoint shards:  25% Completed | 1/4 [00:02<00:06,  2.1s/it]"
)


@pytest.mark.parametrize(
    ("logs", "words"),
    [
        pytest.param([""], "starting", id="nothing yet"),
        pytest.param([BEGIN], "starting (LlamaForCausalLM)", id="configuration"),
        pytest.param([LOAD], "loading weights", id="loading begins"),
        pytest.param([LOAD, SHARDS], "loading weights 25%", id="shards in the other log"),
        pytest.param([LOAD + "Loading weights took 113.27 seconds\n"], "loading weights 100%", id="loaded"),
        pytest.param([LOAD + "torch.compile takes 31.2 s in total\n"], "compiling", id="compiling"),
        pytest.param(
            [LOAD + "Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  40%|####      | 14/35"],
            "compiling 40%",
            id="graphs",
        ),
        pytest.param([LOAD + "GPU KV cache size: 45,616 tokens\n"], "preparing the cache (45,616 tokens)", id="cache"),
        pytest.param([LOAD + "INFO:     Application startup complete.\n"], "answering requests", id="up"),
        pytest.param(["18:45:24 9 of 20 answered (45.0 %), 1.7 requests/s"], "answering requests 45%", id="batch"),
    ],
)
def test_stage(logs: list[str], words: str) -> None:
    assert read_progress(*logs).words() == words


def test_a_requeue_begins_anew() -> None:
    log = f"Job 7 on gpu1, start number 1\n{LOAD}Application startup complete.\nJob 7 on gpu2, start number 2\n{BEGIN}"
    assert read_progress(log) == Progress("starting", None, "LlamaForCausalLM")


def test_the_later_line_of_a_log_wins() -> None:
    log = LOAD + "GPU KV cache size: 10 tokens\nCapturing CUDA graphs:  10%|#"
    assert read_progress(log) == Progress("compiling", 10)
