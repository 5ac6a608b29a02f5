# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs: their ends, and what is new in them."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.llmops.cluster.plugins.module_utils._manager.commands.read import level_colour
from ansible_collections.llmops.cluster.plugins.module_utils._manager.logs import Follower, last_lines, step_on_node
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import Job


def test_the_last_lines_without_what_a_bar_wrote_over() -> None:
    text = "one\n\rloading  0%\rloading 50%\nlast\n"
    assert last_lines(text, 2) == ["loading 50%", "last"]
    assert last_lines(text, 0) == []


def test_secrets_are_not_shown() -> None:
    assert last_lines("Authorization: Bearer abcdefgh\n", 5) == ["Authorization: Bearer ********"]


def test_follow_shows_what_is_new_and_ends_with_the_job(tmp_path: Path) -> None:
    out, err = tmp_path / "out", tmp_path / "err"
    out.write_text("old\n")
    err.write_text("")
    ended = False

    def sleep(_seconds: float) -> None:
        nonlocal ended
        if not ended:
            with out.open("a") as handle:
                handle.write("10%\r20%\nhalf")
            err.write_text("warning\n")
        ended = True

    follower = Follower([str(out), str(err)], lambda: ended, sleep=sleep)
    follower.start_at_end()
    found = [(Path(path).name, line) for path, line in follower.lines()]
    assert found == [("out", "10%"), ("out", "20%"), ("out", "half"), ("err", "warning")]


def test_a_file_that_is_not_there_yet_and_one_that_is_emptied(tmp_path: Path) -> None:
    path = tmp_path / "out"
    steps = iter(["first\n", "", "anew\n"])
    ended = False

    def sleep(_seconds: float) -> None:
        nonlocal ended
        text = next(steps, None)
        ended = text is None
        if text is not None:
            path.write_text(text)

    follower = Follower([str(path)], lambda: ended, sleep=sleep)
    assert [line for _path, line in follower.lines()] == ["first", "anew"]


def test_a_step_beside_the_engine_takes_nothing_from_it() -> None:
    job = Job(7, "vllm-serve-phi3", "vllm", "RUNNING", batch_host="gpu1")
    argv = step_on_node("srun", job, ["tail", "-F", "--", "x"])
    assert argv[:3] == ["srun", "--jobid=7", "--overlap"]
    assert {"--nodelist=gpu1", "--mem=0"} <= set(argv)
    assert argv[argv.index("--") + 1 :] == ["tail", "-F", "--", "x"]


def test_levels_have_colours() -> None:
    assert level_colour("(EngineCore pid=7) ERROR 11-21 10:00:00 [core.py:1] x") == "red"
    assert level_colour("WARNING 11-21 10:00:00 [core.py:1] x") == "yellow"
    assert level_colour("INFO 11-21 10:00:00 [core.py:1] x") == ""
