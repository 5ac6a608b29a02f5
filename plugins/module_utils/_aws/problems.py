# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that is wrong with the settings of a cluster on EC2: variable, what was found, what is allowed."""

from __future__ import annotations

import difflib
import ipaddress
import re
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._instance_types import INSTANCE_TYPES

from . import images, prices
from .settings import CONTROLLER, CONTROLLER_KEYS, MARKETS, NODE_KEYS, Group, groups

# https://docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html (gp3, since September 2025)
_GP3: t.Final = {"disk_gb": (1, 65536), "disk_iops": (3000, 80000), "disk_mibps": (125, 2000)}
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_GROUP = re.compile(r"[a-z]+(-[a-z]+)*")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]")
_LONGEST_NAME = 32
# Eighths of the network, one of them public.
_MOST_ZONES = 7
CONNECTIONS: t.Final = ("ssh", "ssm")
CAPACITIES: t.Final = ("partial", "all")
STOP_JOBS: t.Final = ("refuse", "drain")


def problems(given: t.Mapping[str, t.Any], table: t.Mapping[str, t.Any]) -> list[str]:
    """What is wrong with the variables of the role by their names without aws_cluster_; empty when nothing is."""
    found = [*_names(given), *_doors(given), *_shapes(given)]
    # Values are looked at when the types are right.
    if found:
        return found
    made = groups(given)
    for group in made:
        found += _group(group)
    found += _nodes(made) + _requests(given, made)
    return found or _spend(given, made, table)


def zone_problems(given: t.Mapping[str, t.Any], chosen: t.Sequence[str], available: t.Sequence[str]) -> list[str]:
    """Zones that the region does not have, or that the cluster has no subnet in: known when EC2 has named its own."""
    has = f"{given['region']} has {', '.join(sorted(available))}"
    found = [f"aws_cluster_zones has {zone}; {has}. Take one of these." for zone in chosen if zone not in available]
    for group in groups(given):
        if group.zone and group.zone not in chosen:
            found.append(
                f"{_where(group)}: zone is {group.zone}, and the cluster is in {', '.join(chosen)}. Take one of these, "
                f"or add it to aws_cluster_zones ({has})."
            )
    return found


def warnings(given: t.Mapping[str, t.Any]) -> list[str]:
    """What can be done, but not as safely or as fast as one may think."""
    everybody = [
        f"aws_cluster_admin_cidrs has {cidr}: the whole Internet may try to log in to the controller."
        for cidr in given["admin_cidrs"]
        if str(cidr).endswith("/0")
    ]
    return everybody + [
        f"aws_cluster_nodes: {group.name}: {kind} reads {INSTANCE_TYPES[kind].ebs_mbps_burst} MB/s from its disk at "
        f"most, which is less than the disk_mibps of {group.disk_mibps}: loading a model takes as much longer."
        for group in groups(given)
        for kind in group.types
        if kind in INSTANCE_TYPES and INSTANCE_TYPES[kind].ebs_mbps_burst * 10**6 < group.disk_mibps * 2**20 * 0.99
    ]


def _names(given: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    name, region = str(given["name"]), str(given["region"])
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        yield (
            f"aws_cluster_name is {name!r}. It names and tags everything: up to {_LONGEST_NAME} lower case letters, "
            "digits and single dashes, beginning with a letter."
        )
    if not _REGION.fullmatch(region):
        yield f"aws_cluster_region is {region!r}. Give a region such as us-east-1."
    wrong = [zone for zone in given["zones"] if not re.fullmatch(rf"{re.escape(region)}[a-z]", str(zone))]
    if wrong:
        yield f"aws_cluster_zones has {', '.join(map(repr, wrong))}. Zones of {region} are named like {region}a."
    zones = list(map(str, given["zones"]))
    if len(set(zones)) != len(zones) or len(zones) > _MOST_ZONES:
        yield f"aws_cluster_zones is {', '.join(zones)}. Give each zone once, and {_MOST_ZONES} at most."
    ours = [key for key in given["tags"] if key == "Name" or str(key).startswith("llmops-")]
    if ours:
        yield f"aws_cluster_tags has {', '.join(ours)}. Name and llmops-... are ours: by them all is found again."
    yield from _keys("aws_cluster_image", given["image"], dict.fromkeys(images.Image._fields, object))
    if given["os"] not in images.IMAGES and not given["image"]:
        yield f"aws_cluster_os is {given['os']!r}. {_choices(str(given['os']), images.IMAGES)}"
    yield from _choice("connection", given, CONNECTIONS)
    yield from _choice("capacity", given, CAPACITIES)
    yield from _choice("stop_jobs", given, STOP_JOBS)
    minutes = str(given["boot_minutes"])
    if not minutes.isdigit() or int(minutes) < 1:
        yield f"aws_cluster_boot_minutes is {minutes}. Give the minutes that an instance may take to start, 1 or more."
    yield from _network(str(given["network"]))


def _network(text: str) -> t.Iterator[str]:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        yield f"aws_cluster_network is {text!r}, which is no network: {error}. Give one such as 10.42.0.0/16."
        return
    if network.version != 4 or not 16 <= network.prefixlen <= 20 or not network.is_private:
        yield f"aws_cluster_network is {text}. Give a private IPv4 network of /16 to /20, such as 10.42.0.0/16."


def _doors(given: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    """Who may come in: never the whole Internet unless that was said in so many words."""
    cidrs = given["admin_cidrs"]
    if not isinstance(cidrs, list):
        yield f'aws_cluster_admin_cidrs is {cidrs!r}. Give a list, such as ["203.0.113.7/32"].'
        return
    if given["connection"] == "ssm":
        if cidrs:
            yield (
                "aws_cluster_admin_cidrs opens SSH, but aws_cluster_connection is ssm, which needs no open port. Leave "
                "it out."
            )
        if not given["ssm_bucket"]:
            yield (
                "aws_cluster_connection is ssm, and aws_cluster_ssm_bucket is empty. Ansible moves files through an S3 "
                "bucket of yours: give its name."
            )
        return
    if not cidrs:
        yield (
            "aws_cluster_admin_cidrs is empty, so nobody could reach the controller. Give the addresses from which you "
            'administer it, such as ["203.0.113.7/32"] (your own: curl https://checkip.amazonaws.com), or set '
            "aws_cluster_connection: ssm."
        )
    yield from _admins(cidrs)
    if not given["public_key"]:
        yield "aws_cluster_public_key is empty. Give the file of the public key with which you log in."


def _admins(cidrs: t.Sequence[t.Any]) -> t.Iterator[str]:
    for cidr in cidrs:
        try:
            network = ipaddress.ip_network(str(cidr))
        except ValueError as error:
            yield f"aws_cluster_admin_cidrs has {cidr!r}: {error}. Give networks such as 203.0.113.7/32."
            continue
        if network.version != 4:
            yield f"aws_cluster_admin_cidrs has {cidr!r}. The network of the cluster is IPv4: give your IPv4 address."
        elif "/" not in str(cidr):
            yield f"aws_cluster_admin_cidrs has {cidr!r}. EC2 takes networks: give {cidr}/32 for this one address."


def _shapes(given: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    """Keys and types of the groups."""
    if not isinstance(given["nodes"], list) or not given["nodes"]:
        yield "aws_cluster_nodes is empty. Name at least one group, such as {name: gpu, type: g6.2xlarge, count: 2}."
        return
    yield from _keys("aws_cluster_controller", given["controller"], CONTROLLER_KEYS)
    yield from _keys("aws_cluster_node_defaults", given["node_defaults"], NODE_KEYS)
    for number, one in enumerate(given["nodes"]):
        where = f"aws_cluster_nodes[{number}]"
        yield from _keys(where, one, NODE_KEYS)
        missing = [key for key in ("name", "type", "count") if isinstance(one, t.Mapping) and key not in one]
        defaults = given["node_defaults"] if isinstance(given["node_defaults"], t.Mapping) else {}
        missing = [key for key in missing if key not in defaults]
        if missing:
            yield f"{where} lacks {', '.join(missing)}."


def _keys(where: str, one: t.Any, allowed: t.Mapping[str, type]) -> t.Iterator[str]:
    if not isinstance(one, t.Mapping):
        yield f"{where} is {one!r}. Give keys and values ({', '.join(allowed)})."
        return
    for key, value in one.items():
        if key not in allowed:
            yield f"{where} has {key!r}. {_choices(str(key), allowed)}"
        elif not isinstance(value, allowed[key]) or (allowed[key] is int and isinstance(value, bool)):
            yield f"{where}: {key} is {value!r}, which is no {_WORDS[allowed[key]]}."


_WORDS: t.Final = {str: "text", int: "whole number", bool: "true or false", list: "list"}


def _where(group: Group) -> str:
    return "aws_cluster_controller" if group.is_controller else f"aws_cluster_nodes: {group.name}"


def _group(group: Group) -> t.Iterator[str]:
    where = _where(group)
    if not group.is_controller and not _GROUP.fullmatch(group.name):
        yield (
            f"{where}: name is {group.name!r}. Nodes are named after it with a number behind, such as gpu1: give lower "
            "case letters and single dashes."
        )
    if not 0 <= group.count <= 1000:
        yield f"{where}: count is {group.count}. Give 0 to 1000."
    for key, (least, most) in _GP3.items():
        value = getattr(group, key)
        if not least <= value <= most:
            yield f"{where}: {key} is {value}. A gp3 volume has {least} to {most}."
    if group.disk_mibps > group.disk_iops // 4:
        yield (
            f"{where}: disk_mibps is {group.disk_mibps} with {group.disk_iops} disk_iops. A gp3 volume gives a quarter "
            f"of a MiB/s for each of them: give at least {group.disk_mibps * 4} disk_iops."
        )
    if group.market not in MARKETS:
        yield f"{where}: market is {group.market!r}. Allowed are {' and '.join(MARKETS)}."
    if not group.is_controller:
        yield from _types(where, group)


def _types(where: str, group: Group) -> t.Iterator[str]:
    unknown = [kind for kind in group.types if kind not in INSTANCE_TYPES]
    for kind in unknown:
        near = _choices(kind, INSTANCE_TYPES)
        yield f"{where}: type {kind!r} is none with NVIDIA GPUs that this collection knows. {near}"
    if unknown:
        return
    if group.efa:
        for kind in group.types:
            if not INSTANCE_TYPES[kind].efa_interfaces:
                yield f"{where}: efa is true, and {kind} has none. Leave efa out, or leave out {kind}."
    counts = {kind: INSTANCE_TYPES[kind].gpus for kind in group.types}
    if group.elastic and len(set(counts.values())) > 1:
        yield (
            f"{where}: an elastic node has the same GPUs whenever it starts, and these sizes differ: "
            f"{', '.join(f'{kind} has {gpus}' for kind, gpus in counts.items())}."
        )


def _nodes(made: t.Sequence[Group]) -> list[str]:
    names = [group.name for group in made]
    if len(set(names)) != len(names):
        return [f"aws_cluster_nodes: a name is given twice ({', '.join(names[1:])}); {CONTROLLER} is the controller's."]
    seen: dict[str, str] = {}
    found = []
    for group in made:
        for name in group.nodes:
            if name in seen:
                found.append(f"aws_cluster_nodes: both {seen[name]} and {group.name} have a node {name}. Rename one.")
                break
            seen[name] = group.name
    return found


def _requests(given: t.Mapping[str, t.Any], made: t.Sequence[Group]) -> list[str]:
    compute = [name for group in made if not group.is_controller for name in group.nodes]
    return [
        f"aws_cluster_replace has {name!r}. Only a compute node can be replaced: {', '.join(compute[:8])}"
        f"{' ...' if len(compute) > 8 else ''}."
        for name in given["replace"]
        if name not in compute
    ]


def _spend(given: t.Mapping[str, t.Any], made: t.Sequence[Group], table: t.Mapping[str, t.Any]) -> list[str]:
    limit = given["spend_limit"]
    if limit is None:
        return []
    bill = prices.bill(given, made, table)
    if bill.unknown:
        return [
            f"aws_cluster_spend_limit is set, and {table['file']} has no price of {', '.join(bill.unknown)}. Add it "
            "there (a copy of your own: aws_cluster_prices), or take the limit away."
        ]
    if bill.hourly > limit:
        return [
            f"This cluster costs {bill.hourly:.2f} USD an hour (prices of {table['date']}), and "
            f"aws_cluster_spend_limit is {limit:.2f}. Lower the counts, or raise the limit."
        ]
    return []


def _choice(key: str, given: t.Mapping[str, t.Any], allowed: t.Sequence[str]) -> t.Iterator[str]:
    if given[key] not in allowed:
        yield f"aws_cluster_{key} is {given[key]!r}. Allowed are {' and '.join(allowed)}."


def _choices(found: str, allowed: t.Iterable[str]) -> str:
    near = difflib.get_close_matches(found, list(allowed), 1)
    return f"Did you mean {near[0]}?" if near else f"Allowed are {', '.join(allowed)}."
