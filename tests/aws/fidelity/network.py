"""NAT gateways and DHCP options.

Of a gateway moto gives the public address under names that no client reads, and keeps its interface for good. Of DHCP
options it forgets the tags, answers in an order of its own (amazon.aws compares lists), and deletes them with the VPC.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.ec2.models.dhcp_options import DHCPOptionsSet
from moto.ec2.models.nat_gateways import NatGateway, NatGatewayBackend
from moto.ec2.models.vpcs import VPCBackend
from moto.ec2.responses import EC2Response

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


def _create_dhcp_options(original: Callable[..., Any]) -> Callable[..., Any]:
    def create_dhcp_options(self: Any) -> Any:
        result = original(self)
        result.result["DhcpOptions"].add_tags(self._parse_tag_specification("dhcp-options").get("dhcp-options", {}))
        return result

    return create_dhcp_options


def _dhcp_configurations(self: Any) -> list[dict[str, Any]]:
    found = sorted((key, values) for key, values in self._options.items() if values)
    return [{"Key": key, "Values": [{"Value": value} for value in values]} for key, values in found]


def _keep_dhcp_options(original: Callable[..., Any]) -> Callable[..., Any]:
    def delete_vpc(self: Any, vpc_id: str) -> Any:
        vpc = self.vpcs.get(vpc_id)
        options = vpc.dhcp_options if vpc else None
        if vpc:
            vpc.dhcp_options = None
        try:
            return original(self, vpc_id)
        finally:
            if vpc and vpc_id in self.vpcs:
                vpc.dhcp_options = options
            elif options:
                options.vpc = None

    return delete_vpc


def apply() -> None:
    wrap(EC2Response, "create_dhcp_options", _create_dhcp_options)
    wrap(VPCBackend, "delete_vpc", _keep_dhcp_options)
    DHCPOptionsSet.dhcp_configurations = property(_dhcp_configurations)  # type: ignore[method-assign,assignment]
    NatGateway.nat_gateway_addresses = property(_addresses)  # type: ignore[method-assign,assignment]
    wrap(NatGatewayBackend, "delete_nat_gateway", _delete)
