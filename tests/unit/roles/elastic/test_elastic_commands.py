# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path

import pytest
from llmops_elastic import settings as settings_module
from llmops_elastic import status
from llmops_elastic.__main__ import words
from llmops_elastic.errors import ElasticError
from llmops_elastic.state import Store

from tests.unit.roles.elastic.elastic_fakes import BOOTING, OFF, UP, World


def jobs(*some: tuple[int, str]) -> str:
    return json.dumps({"jobs": [{"job_id": number, "nodes_alloc": names} for number, names in some]})


def booting(world: World, names: str) -> None:
    for name in names.split(","):
        world.slurm.set(name, BOOTING)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, "a", "b", "c")


def test_start_up_idle_stop(world: World) -> None:
    booting(world, "a")
    world.elastic.resume("a", jobs((1, "a")))
    assert world.slurm.told == ["address a 10.0.0.1 a"]
    assert world.driver.of("a")
    world.slurm.set("a", UP)
    world.elastic.sweep()
    assert world.store.read().nodes == {}
    world.elastic.suspend("a")
    assert world.driver.instances == {}


def test_no_capacity_for_one_of_two(world: World) -> None:
    world.driver.faults["b"] = "capacity"
    booting(world, "a,b,c")
    world.elastic.resume("a,b,c", jobs((1, "a,b"), (2, "c")))
    assert sorted(one.node for one in world.driver.instances.values()) == ["c"]
    assert [line.split(";")[0] for line in world.slurm.told[1:]] == [
        "down b: elastic: capacity: told to",
        "down a: elastic: job 1 did not get all of its nodes",
        "power_down a",
    ]
    assert world.store.read().tallies == {}
    world.driver.faults.clear()
    world.now += 601
    world.elastic.sweep()
    assert world.slurm.told[-1] == "power_down b"


def test_a_run_that_is_killed_at_the_driver_is_made_good(world: World) -> None:
    world.driver.killed_at = "start"
    booting(world, "a")
    with pytest.raises(KeyboardInterrupt):
        world.elastic.resume("a", jobs((1, "a")))
    token = world.store.read().nodes["a"].token
    world.elastic.sweep()
    assert world.driver.instances == {}
    world.now += 61
    world.elastic.sweep()
    assert len(world.driver.of("a")) == 1
    assert world.store.read().nodes["a"].token == token


def test_an_instance_from_before_is_stopped_first(world: World) -> None:
    world.driver.add("a", 7)
    booting(world, "a")
    world.elastic.resume("a")
    assert [command for command, _ in world.driver.calls] == ["stop", "start"]
    assert world.driver.of("a") != ["i-a-7"]


def test_protected_after_failures_and_left_by_hand(world: World) -> None:
    for name in "abc":
        booting(world, name)
        world.elastic.resume(name)
        world.slurm.set(name, {"DOWN", "CLOUD", "POWERED_DOWN"}, reason="ResumeTimeout reached")
        world.elastic.fail(name)
    memory = world.store.read()
    assert memory.tallies["gpu"].count == 3
    assert "3 starts in a row failed" in memory.protected["gpu"].message
    assert world.driver.instances == {}
    world.now += 301
    world.elastic.sweep()
    world.elastic.sweep()
    assert all("DRAIN" in world.slurm.table[name].flags for name in "abc")
    said = status.text(world.store.read(), world.settings, world.slurm.nodes(), [], world.now)
    assert said.startswith("PROTECTED since ")
    assert "llmops-elastic unprotect gpu" in said
    assert world.elastic.unprotect("gpu") == "gpu: its nodes are started again."
    world.elastic.sweep()
    assert all(world.slurm.table[name].flags == OFF for name in "abc")
    assert world.store.read().tallies == {}
    assert world.elastic.unprotect("gpu") == "gpu was not protected."


def test_a_failure_is_counted_once(world: World) -> None:
    world.driver.faults["a"] = "permanent"
    booting(world, "a")
    world.elastic.resume("a")
    world.elastic.fail("a")
    assert world.store.read().tallies["gpu"].count == 1


def test_a_playbook_at_work(world: World) -> None:
    world.driver.add("a")
    world.slurm.set("a", UP)
    assert world.elastic.away(3600) == {"away": ["b", "c"]}
    world.elastic.suspend("a")
    world.slurm.set("a", OFF)
    world.elastic.sweep()
    assert world.driver.of("a")
    world.elastic.release()
    world.elastic.sweep()
    assert world.driver.instances == {}


def test_nodes_that_are_not_elastic_are_left_alone(world: World) -> None:
    world.elastic.resume("static")
    world.elastic.suspend("static")
    assert world.driver.calls == []


@pytest.mark.parametrize("text", [None, "", '{"jobs": 5}'])
def test_without_a_list_of_jobs_nodes_are_started_one_by_one(world: World, text: str | None) -> None:
    world.driver.faults["a"] = "capacity"
    booting(world, "a,b")
    world.elastic.resume("a,b", text)
    assert [one.node for one in world.driver.instances.values()] == ["b"]


def test_a_sweep_without_a_list_does_nothing(world: World) -> None:
    world.driver.add("a")
    world.driver.list_fails = True
    with pytest.raises(ElasticError):
        world.elastic.sweep()
    assert world.driver.calls == []


def test_a_stop_that_fails_is_made_good_by_the_sweep(world: World) -> None:
    world.driver.add("a")
    world.driver.stop_fails.add("a")
    world.elastic.suspend("a")
    assert world.driver.of("a")
    world.driver.stop_fails.clear()
    world.elastic.sweep()
    assert world.driver.instances == {}


def test_the_names_by_which_slurm_calls() -> None:
    assert words(["/opt/x/elastic-resume-failed", "a[1-2]"]) == ["fail", "a[1-2]"]
    assert words(["llmops-elastic", "status"]) == ["status"]


def test_a_state_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"version": 9}')
    with pytest.raises(ElasticError, match=r"state.json failed: version 9, 1 expected\. Move it away"):
        Store(str(tmp_path)).read()


def test_a_lock_that_is_held(tmp_path: Path) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += 100 * seconds

    store = Store(str(tmp_path))
    held = pytest.raises(ElasticError, match="another run has held it for 60 s")
    with store.locked(), held, store.locked(60, lambda: now[0], sleep):
        pass


@pytest.mark.parametrize(
    ("text", "words_of_it"),
    [
        pytest.param("{", "Run site.yml, whose role elastic writes it", id="no JSON"),
        pytest.param('{"cluster": "x"}', "keys missing or unknown: capacity_pause, driver,", id="half"),
    ],
)
def test_settings_that_are_none(tmp_path: Path, text: str, words_of_it: str) -> None:
    path = tmp_path / "elastic.json"
    path.write_text(text)
    with pytest.raises(ElasticError, match=words_of_it):
        settings_module.load(path)
