# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an image is made by, and that jobs look for it where the role puts it."""

from __future__ import annotations

import shlex
import typing as t
from pathlib import Path

import jinja2
import pytest
import yaml
from llmops_launch import run

ROLE = Path(__file__).parents[4] / "roles" / "vllm_image"


def containerfile(**variables: t.Any) -> list[str]:
    environment = jinja2.Environment(  # noqa: S701 - no HTML
        loader=jinja2.FileSystemLoader(ROLE / "templates"), undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.filters["quote"] = shlex.quote
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    found = {**defaults, "__vllm_image_from": defaults["vllm_image_base"], **variables}
    return environment.get_template("Containerfile.j2").render(found).splitlines()


@pytest.mark.parametrize(
    ("variables", "lines"),
    [
        pytest.param({}, ["FROM docker.io/vllm/vllm-openai:v0.32.0"], id="upstream"),
        pytest.param(
            {"vllm_image_packages": ["viztracer==1.1.1", "a b"]},
            [
                "FROM docker.io/vllm/vllm-openai:v0.32.0",
                "RUN python3 -m pip install --no-cache-dir viztracer==1.1.1 'a b'",
            ],
            id="packages",
        ),
        pytest.param(
            {
                "__vllm_image_from": "localhost/llmops/base:1",
                "vllm_image_engine": "/opt/vllm",
                "vllm_image_system_packages": ["libnuma1"],
            },
            [
                "FROM localhost/llmops/base:1",
                r"RUN apt-get update && apt-get install --yes --no-install-recommends libnuma1 \ ".rstrip(" "),
                "    && rm -rf /var/lib/apt/lists/*",
                "COPY --from=engine . /opt/vllm",
                "ENV PATH=/opt/vllm/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            ],
            id="without-a-registry",
        ),
    ],
)
def test_containerfile(variables: dict[str, t.Any], lines: list[str]) -> None:
    assert containerfile(**variables) == lines


def test_jobs_and_the_role_call_podman_alike() -> None:
    told = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())["__vllm_image_environment"]
    settings = {name: str(path) for name, path in run._SETTINGS.items()}
    assert {**settings, "XDG_RUNTIME_DIR": str(run._RUNTIME_DIR)} == {
        name: value for name, value in told.items() if name != "HOME"
    }
