# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

import pytest
from llmops_elastic.driver import Driver, RefusalError, parse_instances, parse_outcomes
from llmops_elastic.errors import ElasticError
from llmops_elastic.model import Instance, Outcome

from tests.unit.roles.elastic.elastic_fakes import settings


class Program:
    """A driver in a file: it answers what `script` prints, and notes each call."""

    def __init__(self, folder: Path, script: str, **more: object) -> None:
        self.pauses: list[float] = []
        self._log = folder / "calls"
        path = folder / "driver"
        head = f"#!{sys.executable}\nimport json, sys, time\nasked = json.load(sys.stdin)\n"
        head += (
            f"log = open({str(self._log)!r}, 'a'); log.write(json.dumps([sys.argv[1], asked]) + '\\n'); log.close()\n"
        )
        head += f"times = len(open({str(self._log)!r}).readlines())\n"
        path.write_text(head + script)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        given = settings("a", "b", driver=str(path), driver_settings={"token": "secret"}, **more)
        self.driver = Driver(given, self.pauses.append)

    def calls(self) -> list[tuple[str, dict[str, object]]]:
        return [tuple(json.loads(line)) for line in self._log.read_text().splitlines()]


ALL_OK = 'print(json.dumps({"nodes": {one["name"]: {"result": "ok"} for one in asked["nodes"]}}))\n'


def test_what_a_driver_is_told(tmp_path: Path) -> None:
    program = Program(tmp_path, ALL_OK)
    assert program.driver.start({"a": "t1"}) == {"a": Outcome("ok")}
    assert program.driver.stop({"b": ["i-1"]}) == {"b": Outcome("ok")}
    common = {"version": 1, "cluster": "test", "settings": {"token": "secret"}}
    assert program.calls() == [
        ("start", {**common, "nodes": [{"name": "a", "token": "t1", "options": {}}]}),
        ("stop", {**common, "nodes": [{"name": "b", "instances": ["i-1"], "options": {}}]}),
    ]


@pytest.mark.parametrize(
    ("script", "kind", "tries", "words"),
    [
        pytest.param("sys.exit('quota' if 0 else 10)", "capacity", 1, "exit status 10", id="capacity"),
        pytest.param("sys.stderr.write('slow down'); sys.exit(11)", "throttled", 3, "slow down", id="throttled"),
        pytest.param("sys.stderr.write('no template'); sys.exit(12)", "permanent", 1, "no template", id="permanent"),
        pytest.param("raise KeyError('x')", "broken", 3, "KeyError", id="a crash"),
        pytest.param("print('hello')", "broken", 3, "the answer is no JSON", id="no JSON"),
        pytest.param("print('[]')", "broken", 3, "no dictionary 'nodes'", id="not the contract's"),
        pytest.param("print('{\"nodes\": {}}')", "broken", 3, "the driver said None", id="no word of the node"),
        pytest.param("time.sleep(20)", "broken", 1, "no answer within 1 s", id="no answer"),
    ],
)
def test_a_start_that_comes_to_nothing(tmp_path: Path, script: str, kind: str, tries: int, words: str) -> None:
    slow = {"driver_timeout": 0.5, "driver_tries": 1} if "sleep" in script else {}
    program = Program(tmp_path, script, **slow)
    found = program.driver.start({"a": "t1"})["a"]
    assert found.kind == kind
    assert words.replace("1 s", "0 s") in found.message
    assert len(program.calls()) == tries
    assert program.pauses == [1.0, 2.0][: tries - 1]


def test_only_the_throttled_are_asked_for_again_under_the_same_token(tmp_path: Path) -> None:
    answer = '{"nodes": {"a": {"result": "ok"}, "b": {"result": "throttled" if times < 2 else "capacity"}}}'
    program = Program(tmp_path, f"print(json.dumps({answer}))")
    found = program.driver.start({"a": "t1", "b": "t2"})
    assert {name: one.kind for name, one in found.items()} == {"a": "ok", "b": "capacity"}
    asked = [[(one["name"], one["token"]) for one in call["nodes"]] for _, call in program.calls()]  # type: ignore[attr-defined]
    assert asked == [[("a", "t1"), ("b", "t2")], [("b", "t2")]]


def test_a_list(tmp_path: Path) -> None:
    one = {"node": "a", "instance": "i-1", "state": "running", "address": "10.0.0.1", "started": 5}
    gone = {"node": "b", "instance": "i-2", "state": "stopping"}
    program = Program(tmp_path, f"print({json.dumps(json.dumps({'instances': [one, gone]}))})")
    assert program.driver.list() == [Instance("a", "i-1", True, "10.0.0.1", 5.0), Instance("b", "i-2", False)]


def test_a_list_that_fails_stops_the_caller(tmp_path: Path) -> None:
    program = Program(tmp_path, "sys.exit(12)")
    with pytest.raises(ElasticError, match=r"listing instances with .*driver failed: exit status 12\."):
        program.driver.list()
    assert program.pauses == []


def test_a_driver_that_is_not_there() -> None:
    found = Driver(settings("a", driver="/nowhere/driver")).start({"a": "t"})["a"]
    assert (found.kind, "cannot be run" in found.message) == ("permanent", True)


def test_words_that_are_no_results() -> None:
    assert parse_outcomes({"nodes": {"a": {"result": "fine"}}}, ["a"])["a"].kind == "broken"
    with pytest.raises(RefusalError):
        parse_instances({"instances": [{"node": "a"}]})
