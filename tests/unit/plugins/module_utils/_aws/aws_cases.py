"""Settings that are right, for tests that make one thing wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[5]
PRICES: dict[str, Any] = yaml.safe_load((ROOT / "roles/aws_cluster/files/prices.yml").read_text())
ZONES = ["us-east-1a", "us-east-1b", "us-east-1c"]


def given(**more: Any) -> dict[str, Any]:
    """The variables of the role without their prefix: defaults, and what nobody else can know."""
    defaults = yaml.safe_load((ROOT / "roles/aws_cluster/defaults/main.yml").read_text())
    own = {key.removeprefix("aws_cluster_"): value for key, value in defaults.items()}
    least = {"admin_cidrs": ["203.0.113.7/32"], "nodes": [{"name": "gpu", "type": "g6.2xlarge", "count": 2}]}
    return {**own, **least, **more}


def nodes(**more: Any) -> dict[str, Any]:
    """The settings with one group of nodes."""
    return given(nodes=[{"name": "gpu", "type": "g6.2xlarge", "count": 2, **more}])


IDS: dict[str, Any] = {
    "image": "ami-1",
    "root_device": "/dev/sda1",
    "subnets": {f"llmops-{kind}-{zone}": f"subnet-{kind}-{zone[-1]}" for kind in ("public", "nodes") for zone in ZONES},
    "cluster_group": "sg-cluster",
    "admin_group": "sg-admin",
    "profile": {},
    "key": "llmops",
}
