"""Public addresses of NAT gateways: moto answers under names that no client reads, and keeps the interface for good."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.ec2.models.nat_gateways import NatGateway, NatGatewayBackend

from .account import wrap


def _addresses(self: Any) -> list[dict[str, Any]]:
    names = {
        "allocationId": "AllocationId",
        "publicIp": "PublicIp",
        "associationId": "AssociationId",
        "networkInterfaceId": "NetworkInterfaceId",
        "privateIp": "PrivateIp",
    }
    return [{names[key]: value for key, value in one.items() if value} for one in self.address_set]


def _delete(original: Callable[..., Any]) -> Callable[..., Any]:
    def delete_nat_gateway(self: Any, nat_gateway_id: str) -> Any:
        gateway = original(self, nat_gateway_id)
        for address in self.address_by_ip([gateway._eni.public_ip], fail_if_not_found=False):
            self.disassociate_address(association_id=address.association_id)
        self.enis.pop(gateway._eni.id, None)
        return gateway

    return delete_nat_gateway


def apply() -> None:
    NatGateway.nat_gateway_addresses = property(_addresses)  # type: ignore[method-assign,assignment]
    wrap(NatGatewayBackend, "delete_nat_gateway", _delete)
