# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._slurm import describe
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.spec import build_spec

COMMENT = "llmops:phi3:0123456789abcdef"


def submit_line(*options: str, script: str = "/srv/serve.sh") -> str:
    own = ["sbatch", "--parsable", "--job-name=phi3", f"--comment={COMMENT}", "--chdir=/home/vllm", "--export=ALL"]
    return " ".join([*own, *options, script])


@pytest.mark.parametrize(
    ("line", "options", "args"),
    [
        pytest.param(submit_line("--gres=gpu:1", "--requeue"), "--gres=gpu:1\n--requeue", "", id="options"),
        pytest.param(submit_line("--time=1", script="/s.sh a --port 80"), "--time=1", "a --port 80", id="arguments"),
        pytest.param(submit_line(script="/s.sh --time=1 x"), "", "--time=1 x", id="arguments-like-options"),
        pytest.param(submit_line("--constraint=a b"), "--constraint=a b", "", id="value-with-space"),
    ],
)
def test_live_parts(line: str, options: str, args: str) -> None:
    assert describe.live_parts("/home/vllm", line, "#!/bin/sh\n") == {
        "chdir": "/home/vllm",
        "options": options,
        "args": args,
        "script": "#!/bin/sh\n",
    }


def test_live_parts_that_slurm_does_not_show() -> None:
    assert describe.live_parts("/home/vllm", "", None) == {"chdir": "/home/vllm"}


def test_a_diff_shows_what_differs_and_nothing_else() -> None:
    spec = build_spec(
        name="phi3",
        user="vllm",
        script="#!/bin/sh\nserve --api-key sk-1234567890\n",
        script_path="/srv/serve.sh",
        chdir="/home/vllm",
        options={"gres": "gpu:2"},
    )
    before = describe.live_parts("/home/vllm", submit_line("--gres=gpu:1"), "#!/bin/sh\nserve\n")
    tracker = describe.compare_live(before, describe.wanted_parts(spec))
    assert tracker.names == ["script", "options"]
    assert describe.as_diff(tracker, "old", "new") == {
        "before_header": "old",
        "after_header": "new",
        "before": "script:\n  #!/bin/sh\n  serve\noptions:\n  --gres=gpu:1\n",
        "after": "script:\n  #!/bin/sh\n  serve --api-key ********\noptions:\n  --gres=gpu:2\n",
    }


@pytest.mark.parametrize(
    ("live", "name"),
    [
        pytest.param({"args": "a", "options": "", "script": "#!"}, "environment", id="all-the-rest-is-seen"),
        pytest.param({"script": "#!"}, "args or options or environment", id="no-submit-line"),
    ],
)
def test_what_cannot_be_seen_to_differ_is_named(live: dict[str, str], name: str) -> None:
    tracker = describe.compare_live(live, {"args": "a", "options": "", "script": "#!"})
    assert tracker.names == [name]
