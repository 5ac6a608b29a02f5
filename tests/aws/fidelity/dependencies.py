"""What AWS refuses to delete while something hangs on it. moto lets nearly all of it go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.ec2.models.elastic_ip_addresses import ElasticAddressBackend
from moto.ec2.models.internet_gateways import InternetGatewayBackend
from moto.ec2.models.security_groups import SecurityGroupBackend
from moto.ec2.models.subnets import SubnetBackend
from moto.ec2.models.vpcs import VPCBackend

from .account import refuse, wrap


def _live(backend: Any) -> list[Any]:
    return [one for one in backend.all_instances() if one.state != "terminated"]


def _subnet(original: Callable[..., Any]) -> Callable[..., Any]:
    def delete_subnet(self: Any, subnet_id: str) -> Any:
        used = any(eni.subnet.id == subnet_id for eni in self.enis.values())
        if used or any(one.subnet_id == subnet_id for one in _live(self)):
            refuse("DependencyViolation", f"The subnet '{subnet_id}' has dependencies and cannot be deleted.")
        for table in self.route_tables.values():
            for association in [key for key, value in table._associations.items() if value == subnet_id]:
                del table._associations[association]
        return original(self, subnet_id)

    return delete_subnet


def _security_group(original: Callable[..., Any]) -> Callable[..., Any]:
    def delete_security_group(self: Any, name: str | None = None, group_id: str | None = None) -> Any:
        found = self.get_security_group_from_id(group_id) if group_id else None
        if found and found.name == "default" and found.vpc_id in self.vpcs and not _vpc_goes(self, found.vpc_id):
            refuse("CannotDelete", f'the specified group: "{group_id}" name: "default" cannot be deleted by a user')
        if found and (_attached(self, found) or _named_by_another(self, found)):
            refuse("DependencyViolation", f"resource {group_id} has a dependent object")
        return original(self, name=name, group_id=group_id)

    return delete_security_group


def _vpc_goes(backend: Any, vpc_id: str) -> bool:
    return vpc_id in backend.__dict__.setdefault("tests_going", set())


def _attached(backend: Any, group: Any) -> bool:
    on_interfaces = any(group in eni.group_set for eni in backend.enis.values())
    return on_interfaces or any(group in one.security_groups for one in _live(backend))


def _named_by_another(backend: Any, group: Any) -> bool:
    others = [one for groups in backend.groups.values() for one in groups.values() if one.id != group.id]
    rules = [rule for other in others for rule in (*other.ingress_rules, *other.egress_rules)]
    return any((rule.source_group or {}).get("GroupId") == group.id for rule in rules)


def _vpc(original: Callable[..., Any]) -> Callable[..., Any]:
    def delete_vpc(self: Any, vpc_id: str) -> Any:
        gateways = any(one.vpc and one.vpc.id == vpc_id for one in self.internet_gateways.values())
        groups = any(one.name != "default" for one in self.groups.get(vpc_id, {}).values())
        endpoints = any(one.vpc_id == vpc_id and one.state != "deleted" for one in self.vpc_end_points.values())
        nats = any(one.vpc_id == vpc_id and one.state != "deleted" for one in self.nat_gateways.values())
        if gateways or groups or endpoints or nats:
            refuse("DependencyViolation", f"The vpc '{vpc_id}' has dependencies and cannot be deleted.")
        going = self.__dict__.setdefault("tests_going", set())
        going.add(vpc_id)
        try:
            return original(self, vpc_id)
        finally:
            going.discard(vpc_id)

    return delete_vpc


def _detach(original: Callable[..., Any]) -> Callable[..., Any]:
    def detach_internet_gateway(self: Any, internet_gateway_id: str, vpc_id: str) -> Any:
        mapped = any(eni.public_ip and eni.vpc_id == vpc_id for eni in self.enis.values())
        if mapped:
            message = (
                f"Network {vpc_id} has some mapped public address(es). Please unmap those public address(es) before"
            )
            refuse("DependencyViolation", f"{message} detaching the gateway.")
        return original(self, internet_gateway_id, vpc_id)

    return detach_internet_gateway


def _release(original: Callable[..., Any]) -> Callable[..., Any]:
    def release_address(self: Any, address: str | None = None, allocation_id: str | None = None) -> Any:
        found = self.address_by_ip([address]) if address else self.address_by_allocation([allocation_id])
        if any(one.association_id for one in found):
            refuse("InvalidIPAddress.InUse", f"Address {found[0].public_ip} is in use.")
        return original(self, address, allocation_id)

    return release_address


def apply() -> None:
    wrap(SubnetBackend, "delete_subnet", _subnet)
    wrap(SecurityGroupBackend, "delete_security_group", _security_group)
    wrap(VPCBackend, "delete_vpc", _vpc)
    wrap(InternetGatewayBackend, "detach_internet_gateway", _detach)
    wrap(ElasticAddressBackend, "release_address", _release)
