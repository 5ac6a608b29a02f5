# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role and the driver say the same, and the driver runs where the role installs it."""

from __future__ import annotations

import ast
import io
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llmops.cluster.plugins.module_utils._aws import launch, refusals
from ansible_collections.llmops.cluster.roles.aws_elastic.files.ec2_driver import main, model
from ansible_collections.llmops.cluster.roles.aws_elastic.files.ec2_driver.classify import classify
from ansible_collections.llmops.cluster.roles.aws_elastic.files.ec2_driver.model import THROTTLED, DriverError

from tests.unit.roles.aws_elastic.ec2_fakes import FakeEc2, instance

PROGRAM = Path(main.__file__).parent
ROLE = PROGRAM.parents[1]
VARS: dict[str, Any] = yaml.safe_load((ROLE / "vars/main.yml").read_text())
REQUEST = {"version": 1, "cluster": "lab", "settings": {"region": "us-east-1"}}


@pytest.mark.parametrize("path", sorted(PROGRAM.glob("*.py")), ids=lambda path: path.name)
def test_it_is_written_for_python_3_9(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 9))


def test_the_role_checks_the_settings_that_the_driver_knows() -> None:
    assert sorted(VARS["__aws_elastic_keys"]) == sorted(one.name for one in fields(model.Settings))
    assert VARS["__aws_elastic_default_timeout"] == model.Settings.timeout


def test_the_driver_has_the_table_of_the_collection() -> None:
    """A link: the role copies what it points to, and a build of the collection keeps it."""
    link = PROGRAM / "refusals.py"
    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    assert link.resolve() == ROLE.parents[1].resolve() / "plugins/module_utils/_aws/refusals.py"
    imports = [one for one in ast.walk(ast.parse(link.read_text())) if isinstance(one, ast.Import | ast.ImportFrom)]
    assert [one.module for one in imports if isinstance(one, ast.ImportFrom)] == ["__future__"]
    assert len(imports) == 1


@pytest.mark.parametrize("code", sorted({*refusals.FULL, *refusals.NOT_HERE, *refusals.PASSING}))
def test_both_go_to_another_place_for_the_same_codes(code: str) -> None:
    """But for what is wrong with a place that we made ourselves: aws_instance says that instead of going on."""
    _kind, elsewhere = classify(code, 400)
    ours = {"UnsupportedOperation", "InvalidSubnetID.NotFound", "InvalidParameterCombination"}
    assert elsewhere == (code in launch.ELSEWHERE or code in ours)


def test_an_answer_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main.act, "__defaults__", (lambda cluster, settings: FakeEc2(instance("i-1", "gpu1")),))
    out, err = io.StringIO(), io.StringIO()

    assert main.main(["list"], io.StringIO(json.dumps(REQUEST)), out, err) == 0
    assert json.loads(out.getvalue())["instances"][0]["instance"] == "i-1"
    assert err.getvalue() == ""


def test_a_refusal_is_an_exit_status_with_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(cluster: str, settings: model.Settings) -> FakeEc2:
        raise DriverError(THROTTLED, "RequestLimitExceeded")

    monkeypatch.setattr(main.act, "__defaults__", (refuse,))
    out, err = io.StringIO(), io.StringIO()

    assert main.main(["list"], io.StringIO(json.dumps(REQUEST)), out, err) == 11
    assert (out.getvalue(), err.getvalue()) == ("", "list: RequestLimitExceeded\n")


BAD = {
    "no command": ([], "usage: ec2-driver start|stop|list, with a request on standard input\n", 2),
    "another": (["restart"], "usage: ec2-driver start|stop|list, with a request on standard input\n", 2),
    "no request": (["list"], "list: the request is no JSON: Expecting value: line 1 column 1 (char 0)\n", 12),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_call_is_refused(name: str) -> None:
    arguments, words, status = BAD[name]
    out, err = io.StringIO(), io.StringIO()
    assert main.main(arguments, io.StringIO(""), out, err) == status
    assert (out.getvalue(), err.getvalue()) == ("", words)
