"""Client tokens: a request that comes again with the same one makes nothing more. moto reads none.

botocore sends one by itself where the service asks for it, so a lost answer does no harm there. CreateVpc,
CreateInternetGateway, AllocateAddress and CreateDhcpOptions have none: each retry of botocore makes one more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.responses import EC2Response

from .account import extra, refuse, wrap

_LOCK = threading.RLock()
_ACTIONS = (
    "create_nat_gateway",
    "create_route_table",
    "create_vpc_endpoint",
    "create_launch_template",
    "create_launch_template_version",
    "create_network_interface",
    "create_volume",
)


def once(action: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """For `wrap`: of requests with the same token the first is done, and its answer given to the others."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def called(self: Any) -> Any:
            token = self._get_param("ClientToken")
            if not token:
                return original(self)
            # Two at the same time are one first and one that comes again.
            with _LOCK:
                return first_or_again(self, token)

        def first_or_again(self: Any, token: str) -> Any:
            asked = repr(sorted(self.params.items(), key=lambda one: str(one[0])))
            known = extra(self.ec2_backend).tokens.get(f"{action} {token}")
            if known:
                # Of an instance first this, then that: https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html
                if any(one.state == "terminated" for one in getattr(known[1], "instances", [])):
                    refuse("IdempotentInstanceTerminated", "The instance of this client token was terminated.")
                if known[0] != asked:
                    refuse("IdempotentParameterMismatch", "The client token was used with other parameters before.")
                return ActionResult(known[1])
            result = original(self)
            extra(self.ec2_backend).tokens[f"{action} {token}"] = (asked, result.result)
            return result

        return called

    return make


def apply() -> None:
    for action in _ACTIONS:
        wrap(EC2Response, action, once(action))
