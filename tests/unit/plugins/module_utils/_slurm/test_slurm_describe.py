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
    assert describe.live_parts(line, "#!/bin/sh\n") == {
        "chdir": "/home/vllm",
        "options": options,
        "args": args,
        "script": "#!/bin/sh\n",
    }


def test_live_parts_that_slurm_does_not_show() -> None:
    assert set(describe.live_parts("", None).values()) == {"(cannot be read)"}


def test_a_diff_shows_what_differs_and_nothing_else() -> None:
    spec = build_spec(
        name="phi3",
        user="vllm",
        script="#!/bin/sh\nserve --api-key sk-1234567890\n",
        script_path="/srv/serve.sh",
        chdir="/home/vllm",
        options={"gres": "gpu:2"},
    )
    before = describe.live_parts(submit_line("--gres=gpu:1"), "#!/bin/sh\nserve\n")
    tracker = describe.compare(before, describe.wanted_parts(spec), key_differs=True)
    assert tracker.names == ["options", "script"]
    assert describe.as_diff(tracker, "old", "new") == {
        "before_header": "old",
        "after_header": "new",
        "before": "options:\n  --gres=gpu:1\nscript:\n  #!/bin/sh\n  serve\n",
        "after": "options:\n  --gres=gpu:2\nscript:\n  #!/bin/sh\n  serve --api-key ********\n",
    }


def test_what_cannot_be_seen_to_differ_is_the_environment() -> None:
    tracker = describe.compare({"args": "a"}, {"args": "a"}, key_differs=True)
    assert tracker.names == ["environment"]
