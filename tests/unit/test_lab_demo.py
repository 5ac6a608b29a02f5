"""Which of several served models the demo means, and commands that fit the lab they are printed for."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import demo
from lab.demo import Endpoint
from lab.errors import LabError
from lab.settings import CHECKOUT, Lab, load


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("LLMOPS_STATE", str(tmp_path))
    return load("mine", CHECKOUT / "inventory/lab")


def _serves(monkeypatch: pytest.MonkeyPatch, *models: tuple[int, str]) -> None:
    found = [Endpoint(str(job), "gpu1", f"http://gpu1/{job}", model) for job, model in models]
    monkeypatch.setattr(demo, "endpoints", lambda lab: found)


@pytest.mark.parametrize(
    ("models", "job"),
    [
        pytest.param([(3, "mistral"), (12, "phi3")], "12", id="the demo's"),
        pytest.param([(3, "mistral"), (12, "tiny")], "3", id="else the first"),
    ],
)
def test_the_model_that_is_meant(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, models: list[tuple[int, str]], job: str
) -> None:
    _serves(monkeypatch, *models)
    assert demo._served(lab).job_id == job


def test_no_model(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    _serves(monkeypatch)
    with pytest.raises(LabError, match="lab 'mine' serves no model now"):
        demo._served(lab)


def test_commands_for_the_demo_need_no_word_about_it(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    assert demo._which_lab(lab) == f"LLMOPS_LAB_STATE={lab.state} "
    monkeypatch.delenv("LLMOPS_STATE")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert demo._which_lab(load("demo", lab.inventory)) == ""
