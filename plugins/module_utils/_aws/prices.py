# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster costs an hour, from a table with a date."""

from __future__ import annotations

import typing as t

from .settings import Group

HOURS_OF_MONTH: t.Final = 730


class Line(t.NamedTuple):
    """One line of the bill, in USD an hour."""

    what: str
    number: int
    each: float | None
    hourly: float


class Bill(t.NamedTuple):
    """What everything costs, and of what the table has no price."""

    lines: list[Line]
    hourly: float
    unknown: list[str]


def bill(given: t.Mapping[str, t.Any], made: t.Sequence[Group], table: t.Mapping[str, t.Any]) -> Bill:
    """On-demand prices of all nodes running, elastic ones too; without traffic, and without a spot discount."""
    factor = float(table["regions"].get(given["region"], 0)) or None
    lines, unknown = [], []
    if factor is None:
        unknown.append(f"region {given['region']}")
    for group in made:
        known = table["instances"].get(group.type)
        if known is None and group.count:
            unknown.append(group.type)
        each = None if known is None else known["usd"] * (factor or 1) + _license(given, known["vcpus"], table)
        spot = ", at most (spot)" if group.market == "spot" else ""
        lines.append(Line(f"{group.name}: {group.type}{spot}", group.count, each, (each or 0) * group.count))
        disk = _disk(group, table["gp3"]) * (factor or 1)
        text = f"{group.name}: disk {group.disk_gb} GiB, {group.disk_mibps} MiB/s, {group.disk_iops} IOPS"
        lines.append(Line(text, group.count, disk, disk * group.count))
    # The controller's, and the NAT gateway's or one of each compute node.
    addresses = 1 + (1 if given["nat"] else sum(group.count for group in made[1:]))
    address = float(table["public_address"])
    lines.append(Line("public IPv4 addresses", addresses, address, address * addresses))
    if given["nat"]:
        nat = float(table["nat_gateway"]) * (factor or 1)
        lines.append(Line("NAT gateway (and its traffic)", 1, nat, nat))
    lines = [line for line in lines if line.number]
    return Bill(lines, sum(line.hourly for line in lines), list(dict.fromkeys(unknown)))


def text(made: Bill, table: t.Mapping[str, t.Any]) -> list[str]:
    """The bill for people."""
    width = max(len(line.what) for line in made.lines)
    rows = [
        f"{line.what:<{width}}  {line.number:>4} x {'       ?' if line.each is None else f'{line.each:8.4f}'} = "
        f"{line.hourly:9.4f} USD/h"
        for line in made.lines
    ]
    together = "at least" if made.unknown else "together"
    total = f"{together:<{width}}  {'':15} = {made.hourly:9.4f} USD/h, {made.hourly * HOURS_OF_MONTH:.0f} USD a month"
    missing = [f"No price of {', '.join(made.unknown)} in {table['file']}."] if made.unknown else []
    return [*rows, total, f"On demand, prices of {table['date']}, without traffic and taxes.", *missing]


def _license(given: t.Mapping[str, t.Any], vcpus: int, table: t.Mapping[str, t.Any]) -> float:
    """Red Hat takes its own by the vCPU."""
    if not str(given["os"]).startswith("rhel"):
        return 0.0
    return next((float(rate) for most, rate in table["rhel_vcpu"] if vcpus <= most), 0.0) * vcpus


def _disk(group: Group, gp3: t.Mapping[str, float]) -> float:
    month = (
        group.disk_gb * gp3["gib_month"]
        + max(0, group.disk_iops - 3000) * gp3["iops_month"]
        + max(0, group.disk_mibps - 125) * gp3["mibps_month"]
    )
    return month / HOURS_OF_MONTH
