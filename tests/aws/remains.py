"""What an account holds that bills, or that stands in the way of the next cluster of the same name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

# What AWS keeps on show for a while after it is gone.
_GONE = {"terminated", "shutting-down", "deleted", "deleting"}
Client = Callable[[str], Any]


def counts(client: Client, cluster: str | None = None) -> dict[str, int]:
    """By kind, kinds of which there are none left out.

    With `cluster` only what carries its name: in a tag's value, or, for what this account's calls give no tags of,
    in its own name.
    """
    account = client("sts").get_caller_identity()["Account"]
    found = {**_machines(client("ec2"), account), **_network(client("ec2")), **_others(client)}
    wanted = {
        kind: [one for one in things if cluster is None or _is_of(one, cluster)] for kind, things in found.items()
    }
    return {kind: len(things) for kind, things in wanted.items() if things}


def _is_of(one: dict[str, Any], cluster: str) -> bool:
    tags = [str(tag["Value"]) for tag in one.get("Tags") or one.get("TagSet") or []]
    # An instance has no name of its own; the key pair's is another's.
    names = [] if "InstanceId" in one else [str(value) for key, value in one.items() if key.endswith("Name")]
    return any(value == cluster or value.startswith((f"{cluster}-", f"{cluster}.")) for value in [*tags, *names])


def _all(client: Any, operation: str, key: str, **arguments: Any) -> list[dict[str, Any]]:
    if client.can_paginate(operation):
        pages: Iterable[dict[str, Any]] = client.get_paginator(operation).paginate(**arguments)
        return [one for page in pages for one in page[key]]
    return list(getattr(client, operation)(**arguments)[key])


def _alive(things: list[dict[str, Any]]) -> list[dict[str, Any]]:
    states = [one.get("State", "") for one in things]
    return [
        one
        for one, state in zip(things, states, strict=True)
        if (state["Name"] if isinstance(state, dict) else state) not in _GONE
    ]


def _machines(ec2: Any, account: str) -> dict[str, list[dict[str, Any]]]:
    reservations = _all(ec2, "describe_instances", "Reservations")
    return {
        "instances": _alive([one for reservation in reservations for one in reservation["Instances"]]),
        "volumes": _all(ec2, "describe_volumes", "Volumes"),
        # Filtered here: moto shows those of public images too.
        "snapshots": [one for one in _all(ec2, "describe_snapshots", "Snapshots") if one["OwnerId"] == account],
        "images": _all(ec2, "describe_images", "Images", Owners=["self"]),
        "launch_templates": _all(ec2, "describe_launch_templates", "LaunchTemplates"),
        "key_pairs": _all(ec2, "describe_key_pairs", "KeyPairs"),
        "placement_groups": _all(ec2, "describe_placement_groups", "PlacementGroups"),
        "spot_requests": [
            one
            for one in _all(ec2, "describe_spot_instance_requests", "SpotInstanceRequests")
            if one["State"] in ("open", "active")
        ],
    }


def _network(ec2: Any) -> dict[str, list[dict[str, Any]]]:
    vpcs = _all(ec2, "describe_vpcs", "Vpcs")
    default = {one["VpcId"] for one in vpcs if one["IsDefault"]}

    def made(operation: str, key: str) -> list[dict[str, Any]]:
        return [one for one in _alive(_all(ec2, operation, key)) if one.get("VpcId") not in default]

    gateways = _all(ec2, "describe_internet_gateways", "InternetGateways")
    return {
        "vpcs": [one for one in vpcs if not one["IsDefault"]],
        "subnets": made("describe_subnets", "Subnets"),
        # The main table and the default group go with their VPC.
        "route_tables": [
            one
            for one in made("describe_route_tables", "RouteTables")
            if not any(found.get("Main") for found in one["Associations"])
        ],
        "security_groups": [
            one for one in _all(ec2, "describe_security_groups", "SecurityGroups") if one["GroupName"] != "default"
        ],
        "internet_gateways": [
            one for one in gateways if not default & {found["VpcId"] for found in one["Attachments"]}
        ],
        "nat_gateways": made("describe_nat_gateways", "NatGateways"),
        "vpc_endpoints": made("describe_vpc_endpoints", "VpcEndpoints"),
        "network_interfaces": made("describe_network_interfaces", "NetworkInterfaces"),
        "elastic_ips": _all(ec2, "describe_addresses", "Addresses"),
        "dhcp_options": _made_dhcp_options(ec2, vpcs),
    }


def _made_dhcp_options(ec2: Any, vpcs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    default = {one.get("DhcpOptionsId") for one in vpcs if one["IsDefault"]}
    return [one for one in _all(ec2, "describe_dhcp_options", "DhcpOptions") if one["DhcpOptionsId"] not in default]


def _others(client: Client) -> dict[str, list[dict[str, Any]]]:
    iam = client("iam")
    return {
        # AWS's own roles have a path of their own.
        "roles": [one for one in _all(iam, "list_roles", "Roles") if not one["Path"].startswith("/aws-")],
        "instance_profiles": _all(iam, "list_instance_profiles", "InstanceProfiles"),
        "policies": _all(iam, "list_policies", "Policies", Scope="Local"),
        "zones": _all(client("route53"), "list_hosted_zones", "HostedZones"),
        "buckets": list(client("s3").list_buckets()["Buckets"]),
    }
