"""Security groups: changing the description of a rule answers whether it was done, which moto leaves out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.responses import EC2Response

from .account import wrap


def _say_yes(original: Callable[..., Any]) -> Callable[..., Any]:
    def update(self: Any) -> ActionResult:
        original(self)
        return ActionResult({"Return": True})

    return update


def apply() -> None:
    for way in ("ingress", "egress"):
        wrap(EC2Response, f"update_security_group_rule_descriptions_{way}", _say_yes)
