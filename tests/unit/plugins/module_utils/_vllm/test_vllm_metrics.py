# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.metrics import Metrics, parse_metrics

# Lines of a real page (vLLM 0.32.0 on the CPU), in its order.
PAGE = """\
# HELP process_start_time_seconds Start time of the process since unix epoch in seconds.
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1.79523181357e+09
vllm:num_requests_running{engine="0",model_name="llmops-lab/phi3-tiny"} 128.0
vllm:num_requests_waiting{engine="0",model_name="llmops-lab/phi3-tiny"} 1.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="llmops-lab/phi3-tiny",reason="capacity"} 1.0
vllm:prompt_tokens_total{engine="0",model_name="llmops-lab/phi3-tiny"} 3.0
vllm:prompt_tokens_created{engine="0",model_name="llmops-lab/phi3-tiny"} 1.7952318630673244e+09
vllm:generation_tokens_total{engine="0",model_name="llmops-lab/phi3-tiny"} 1.0
vllm:request_success_total{engine="0",finished_reason="stop",model_name="llmops-lab/phi3-tiny"} 0.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="llmops-lab/phi3-tiny"} 1.0
vllm:iteration_tokens_total_count{engine="0",model_name="llmops-lab/phi3-tiny"} 1.0
vllm:iteration_tokens_total_sum{engine="0",model_name="llmops-lab/phi3-tiny"} 4.0
"""


def test_page_of_an_engine() -> None:
    assert parse_metrics(PAGE) == Metrics(work=6.0, running=128, waiting=1, started=1795231813.57)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>It works!</html>",
        "process_start_time_seconds 1.0\nhaproxy_up 1\n",
        "vllm:generation_tokens_total NaN",
    ],
    ids=["empty", "web-page", "of-a-gateway", "no-number"],
)
def test_other_pages_say_nothing(text: str) -> None:
    assert parse_metrics(text) is None


def test_several_engines_are_one_sum_and_a_bad_line_is_left_out() -> None:
    page = (
        'vllm:generation_tokens_total{engine="0"} 2\nvllm:generation_tokens_total{engine="1"} 3 1700000000\nx y z {\n'
    )
    assert parse_metrics(page) == Metrics(work=5.0)


@pytest.mark.parametrize(
    ("before", "now", "worked"),
    [(None, 1.0, False), (Metrics(1.0), 1.0, False), (Metrics(1.0), 2.0, True), (Metrics(9.0), 1.0, False)],
    ids=["nothing-to-compare", "stands-still", "works", "was-restarted"],
)
def test_work_is_what_grows(before: Metrics | None, now: float, worked: bool) -> None:
    assert Metrics(now).worked_since(before) is worked
