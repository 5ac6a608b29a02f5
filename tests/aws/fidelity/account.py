"""What the account holds beside moto's own objects. It lies in moto's backend, so a reset empties it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from moto.ec2.exceptions import EC2ClientError


@dataclass
class PlacementGroup:
    id: str
    name: str
    strategy: str
    backend: Any
    partitions: int | None = None

    def answer(self) -> dict[str, Any]:
        arn = f"arn:aws:ec2:{self.backend.region_name}:{self.backend.account_id}:placement-group/{self.name}"
        tags = [
            {"Key": tag["key"], "Value": tag["value"]} for tag in self.backend.describe_tags({"resource-id": [self.id]})
        ]
        found = {"GroupName": self.name, "GroupId": self.id, "GroupArn": arn, "State": "available", "Tags": tags}
        return {**found, "Strategy": self.strategy, "PartitionCount": self.partitions}


@dataclass
class Extra:
    """`tokens`: client token -> what was asked with it and the reservation that it made."""

    placement_groups: dict[str, PlacementGroup] = field(default_factory=dict)
    tokens: dict[str, tuple[str, Any]] = field(default_factory=dict)
    host_keys: dict[str, list[str]] = field(default_factory=dict)


def extra(backend: Any) -> Extra:
    """Of one account in one region."""
    found: Extra = backend.__dict__.setdefault("tests_extra", Extra())
    return found


def refuse(code: str, message: str) -> None:
    raise EC2ClientError(code, message)


def wrap(owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put a function in the place of one of moto's; `make` gets the one that was there."""
    setattr(owner, name, make(getattr(owner, name)))
