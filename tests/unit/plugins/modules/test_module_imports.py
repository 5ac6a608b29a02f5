# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a module loads at its start: Python compiles each file of it twice, in each task on each host."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

MODULES = "ansible_collections.llmops.cluster.plugins.modules"
OURS = "ansible_collections.llmops.cluster.plugins.module_utils."


def loaded_by(module: str) -> set[str]:
    found = subprocess.run(
        [sys.executable, "-c", f"import sys, {MODULES}.{module}; print(*sys.modules)"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.replace(OURS, "") for name in found.stdout.split()}


@pytest.mark.parametrize(
    ("module", "needed", "only_where_needed"),
    [
        pytest.param(
            "slurm_job",
            {"_slurm.client", "_slurm.kept", "_slurm.parse"},
            {f"_slurm.{name}" for name in ("change", "lock", "manage", "parse_text", "report", "submit", "wait")},
            id="slurm_job",
        ),
        pytest.param(
            "slurm_job_info", {"_slurm.client", "_slurm.parse"}, {"_slurm.parse_text", "_wait"}, id="slurm_job_info"
        ),
        pytest.param(
            "hf_model",
            {"_hub.cache", "_hub.outcome"},
            {"_hub.client", "_hub.download", "_hub.users", "_slurm", "concurrent.futures", "http.client", "ssl"},
            id="hf_model",
        ),
        pytest.param("vllm_health", {"_vllm.watch"}, {"_vllm.job", "_slurm", "_slurm.client"}, id="vllm_health"),
    ],
)
def test_what_only_some_runs_need_is_not_loaded(module: str, needed: set[str], only_where_needed: set[str]) -> None:
    found = loaded_by(module)
    assert needed <= found
    assert not only_where_needed & found
