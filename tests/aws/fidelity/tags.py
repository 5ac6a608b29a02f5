"""Tags: kinds by the names that AWS has for them, and a launch template's own tags apart from its data.

moto puts a template's tags into what it launches (so amazon.aws finds other data than it wrote, and writes a version
with each run) and never shows them changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.ec2.models.launch_templates import LaunchTemplate
from moto.ec2.responses import EC2Response
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, EC2_RESOURCE_TO_PREFIX

from .account import wrap

# Prefix of an id -> kind, where moto has none or another than AWS.
_KINDS = {"pg": "placement-group", "nat": "natgateway", "eipalloc": "elastic-ip"}


def _create(original: Callable[..., Any]) -> Callable[..., Any]:
    def create_launch_template(self: Any) -> Any:
        result = original(self)
        data = (
            self.ec2_backend.get_launch_template(result.result["LaunchTemplate"]["LaunchTemplateId"]).versions[0].data
        )
        kept = [one for one in data.pop("TagSpecifications", []) if one["ResourceType"] != "launch-template"]
        if kept:
            data["TagSpecifications"] = kept
        return result

    return create_launch_template


def _ignore(_self: Any, _tags: Any) -> None:
    """moto's own copy, made once."""


def apply() -> None:
    EC2_PREFIX_TO_RESOURCE.update(_KINDS)
    EC2_RESOURCE_TO_PREFIX.update({kind: prefix for prefix, kind in _KINDS.items()})
    LaunchTemplate.tags = property(lambda self: self.get_tags(), _ignore)  # type: ignore[assignment]
    wrap(EC2Response, "create_launch_template", _create)
