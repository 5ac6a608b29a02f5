"""What AWS does and moto 5.2.5 does not. Each module changes moto's classes when `apply` is called."""

from __future__ import annotations

from . import console, dependencies, images, launch, network, placement, security_groups, tags, tokens


def apply() -> None:
    for module in (tags, images, placement, launch, console, network, security_groups, dependencies, tokens):
        module.apply()
