# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.errors import SpecError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.spec import (
    JobSpec,
    build_spec,
    find_comment,
    odd_time_options,
    option_arguments,
    parse_comment,
)


def spec(**changes: t.Any) -> JobSpec:
    wanted = {
        "name": "phi3",
        "user": "vllm",
        "script": "#!/bin/sh\n",
        "script_path": "/srv/serve.sh",
        "chdir": "/home/vllm",
        "args": ["a"],
        "options": {"time": "60"},
        "environment": {"A": "1"},
    }
    return build_spec(**{**wanted, **changes})


def test_the_key_is_stable() -> None:
    # A key that changes with a release of ours would replace every running job.
    assert spec().key("lab") == "943edc0a65a4cd95"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"name": "phi4"}, id="name"),
        pytest.param({"user": "root"}, id="user"),
        pytest.param({"script": "#!/bin/sh\ntrue\n"}, id="script"),
        pytest.param({"chdir": "/"}, id="chdir"),
        pytest.param({"args": ["a", ""]}, id="args"),
        pytest.param({"options": {"time": "61"}}, id="options"),
        pytest.param({"environment": {"A": "2"}}, id="environment-value"),
        pytest.param({"environment": {"B": "1"}}, id="environment-name"),
    ],
)
def test_every_part_makes_another_key(change: dict[str, t.Any]) -> None:
    assert spec(**change).key("lab") != spec().key("lab")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"script_path": "/elsewhere.sh"}, id="path-of-the-script"),
        pytest.param({"options": {"time": 60}}, id="number-or-text"),
        pytest.param({"options": {"time": 60, "requeue": False, "qos": None}}, id="options-left-out"),
    ],
)
def test_the_same_job_has_the_same_key(change: dict[str, t.Any]) -> None:
    assert spec(**change).key("lab") == spec().key("lab")


def test_another_cluster_makes_another_key() -> None:
    assert spec().key("lab") != spec().key("prod")


def test_environment_values_stay_out_of_the_representation() -> None:
    assert "s3cret" not in repr(spec(environment={"A": "s3cret"}))


def test_comment_and_back() -> None:
    made = spec(name="vllm-serve-phi.3_x+y").comment("0123456789abcdef")
    assert made == "llmops:vllm-serve-phi.3_x+y:0123456789abcdef"
    assert parse_comment(made) == ("vllm-serve-phi.3_x+y", "0123456789abcdef")
    assert find_comment(f"sbatch --comment={made} --chdir=/ x.sh") == made


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("sbatch --job-name=phi3 /s.sh llmops:phi3:0123456789abcdef", id="argument"),
        pytest.param("sbatch --comment=llmops:phi3:0123456789abcdef0 /s.sh", id="longer"),
        pytest.param("sbatch --comment=x-llmops:phi3:0123456789abcdef /s.sh", id="inside-another"),
    ],
)
def test_submit_lines_of_others(line: str) -> None:
    assert find_comment(line) == ""


@pytest.mark.parametrize("text", ["", "llmops", "llmops:a", "llmops:a:b", "llmops:a:0123456789abcdefg", "x llmops:a:b"])
def test_comments_of_others(text: str) -> None:
    assert parse_comment(text) is None


def test_options_become_arguments() -> None:
    options = {
        "time": "1:00:00",
        "gres": ["gpu:1", "shard:2"],
        "requeue": True,
        "exclusive": False,
        "qos": None,
        "nodes": 2,
        "constraint": "a&b $(touch /x) 'q'",
    }
    assert option_arguments(options) == (
        "--constraint=a&b $(touch /x) 'q'",
        "--gres=gpu:1",
        "--gres=shard:2",
        "--nodes=2",
        "--requeue",
        "--time=1:00:00",
    )


BAD = [
    pytest.param(
        {"name": "a b"},
        "name 'a b' cannot be the name of a job. Allowed are 1 to 128 letters, digits and . _ + -, "
        "not beginning with . + or -.",
        id="name-with-space",
    ),
    pytest.param({"name": "-x"}, "name '-x' cannot be", id="name-with-dash"),
    pytest.param({"name": "a,b"}, "name 'a,b' cannot be", id="name-with-comma"),
    pytest.param({"name": "a\n"}, "name 'a\\n' cannot be", id="name-with-line-end"),
    pytest.param({"name": ""}, "name '' cannot be", id="no-name"),
    pytest.param(
        {"options": {"--time": "1"}},
        "options: '--time' is not an option of sbatch. Use its long name without the dashes.",
        id="option-with-dashes",
    ),
    pytest.param(
        {"options": {"t": "1"}},
        "options: 't' is not an option of sbatch. Use its long name without the dashes.",
        id="short-option",
    ),
    pytest.param(
        {"options": {"wrap": "hostname"}},
        "options.wrap cannot be set here: use the option script_content of the module.",
        id="reserved-option",
    ),
    pytest.param(
        {"options": {"comment": "x"}}, "options.comment cannot be set here: it carries the job's key.", id="comment"
    ),
    pytest.param(
        {"options": {"comm": "x"}},
        "options.comm (short for comment) cannot be set here: it carries the job's key.",
        id="beginning-of-a-reserved-option",
    ),
    pytest.param(
        {"options": {1: "x", "a": "y"}},
        "options: 1 is not an option of sbatch. Use its long name without the dashes.",
        id="number-as-option",
    ),
    pytest.param(
        {"args": ["a\ud83d"]},
        "args[0] holds half a character (U+D83D), which is no text in UTF-8. Leave it out.",
        id="half-a-character",
    ),
    pytest.param(
        {"options": {"gres": {"gpu": 1}}},
        "options.gres {'gpu': 1} is a dictionary. Give text or a number; quote what YAML would read as something else.",
        id="option-as-dictionary",
    ),
    pytest.param(
        {"options": {"gres": [True]}},
        "options.gres True is a boolean. Give text or a number; quote what YAML would read as something else.",
        id="boolean-in-list",
    ),
    pytest.param(
        {"environment": {"A-B": "1"}}, "environment: 'A-B' cannot be the name of a variable.", id="variable-name"
    ),
    pytest.param(
        {"environment": {"SBATCH_PARTITION": "x"}},
        "environment.SBATCH_PARTITION would steer sbatch itself. Use options for what sbatch shall do.",
        id="variable-of-sbatch",
    ),
    pytest.param(
        {"environment": {"HOME": "/tmp"}},
        "environment.HOME would not reach the job: Slurm sets it itself. Set it in the script.",
        id="variable-that-slurm-sets",
    ),
    pytest.param(
        {"args": ["é" * 65536]},
        "args[0] is 131072 bytes long, and a program takes 131071 at most. Write it to a file that the script reads.",
        id="long-argument",
    ),
    pytest.param(
        {"environment": {"A": "x" * 131070}},
        "environment.A is 131072 bytes long, and a program takes 131071 at most.",
        id="long-variable",
    ),
    pytest.param(
        {"args": ["x" * 100000] * 18},
        "args, options and environment are 1800192 bytes together, and a program takes 1800000 at most. "
        "Write them to a file that the script reads.",
        id="too-much-together",
    ),
    pytest.param(
        {"environment": {"API_KEY": ["s3cret"]}},
        "environment.API_KEY is a list. Give text or a number; quote what YAML would read as something else.",
        id="value-not-shown",
    ),
    pytest.param(
        {"environment": {"A": "x\0y"}},
        "environment.A holds a NUL character, which no argument and no variable can carry.",
        id="NUL",
    ),
    pytest.param({"chdir": "work"}, "chdir 'work' is not an absolute path.", id="relative-chdir"),
    pytest.param(
        {"script": "echo hello\n"},
        "The script must begin with #! and an interpreter; its first line is 'echo hello'.",
        id="no-interpreter",
    ),
    pytest.param(
        {"script": ""},
        "The script must begin with #! and an interpreter; its first line is '(empty)'.",
        id="empty-script",
    ),
    pytest.param(
        {"script": "#!/bin/sh\r\ntrue\r\n"},
        "The script has DOS line ends (CR LF), which sbatch refuses. Write it with LF alone.",
        id="DOS-line-ends",
    ),
    pytest.param(
        {"script": "#!/bin/sh\n\n# mine\n#SBATCH --mem=1 --test-only\ntrue\n"},
        "The script's line '#SBATCH --mem=1 --test-only' cannot stand there: use check mode.",
        id="a-directive-that-submits-nothing",
    ),
    pytest.param(
        {"script": "#!/bin/sh\n#SBATCH -W\ntrue\n"},
        "The script's line '#SBATCH -W' cannot stand there: use state=completed.",
        id="a-directive-that-waits",
    ),
]


def test_a_line_that_sbatch_does_not_read_is_the_scripts_own() -> None:
    text = "#!/bin/sh\n#SBATCH --wait-all-nodes=1\ntrue\n#SBATCH --wait\n"
    assert spec(script=text).script == text


@pytest.mark.parametrize(("change", "message"), BAD)
def test_bad_input_is_named(change: dict[str, t.Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec(**change)
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(("value", "warns"), [(3600, True), (60, True), (59, False), ("1:00:00", False), (True, False)])
def test_times_that_yaml_has_changed(value: t.Any, warns: bool) -> None:
    expected = [
        f"options.time is the number {value}, which Slurm takes as {value} minutes. "
        "YAML reads an unquoted 1:00:00 as 3600: put quotes around times."
    ]
    assert odd_time_options({"time": value, "nodes": 4000}) == (expected if warns else [])
