# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The things of accounting: what is there, what is declared, and a change from the one to the other."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

Values = dict[str, t.Any]

# What Slurm itself makes and needs.
ROOT = "root"
NORMAL = "normal"


@dataclass(frozen=True, order=True)
class Thing:
    """A QOS, an account, a user, or the association of a user with an account (and a partition)."""

    kind: str
    name: str
    account: str = ""
    partition: str = ""

    def __str__(self) -> str:
        if self.kind != "association":
            return f"{self.kind} {self.name}"
        where = f" in the partition {self.partition}" if self.partition else ""
        return f"user {self.name} in the account {self.account}{where}"

    @property
    def built_in(self) -> bool:
        """Never removed and never put back to defaults."""
        return self.name == (NORMAL if self.kind == "qos" else ROOT)


def qos(name: str) -> Thing:
    return Thing("qos", name)


def account(name: str) -> Thing:
    return Thing("account", name)


def user(name: str) -> Thing:
    return Thing("user", name)


def association(user_name: str, account_name: str, partition: str = "") -> Thing:
    return Thing("association", user_name, account_name, partition)


@dataclass(frozen=True)
class State:
    """What the database has of one cluster: every value of every thing."""

    things: dict[Thing, Values]
    tres: frozenset[str] = frozenset()
    # Other clusters that share the database, and with it QOS, accounts and users.
    other_clusters: tuple[str, ...] = ()

    def of_kind(self, kind: str) -> list[Thing]:
        return sorted(thing for thing in self.things if thing.kind == kind)


# What Slurm makes by itself in a new database.
NEW = State(
    {
        qos(NORMAL): {},
        account(ROOT): {"qos": (NORMAL,), "parent": None},
        user(ROOT): {"default_account": ROOT},
        association(ROOT, ROOT): {},
    }
)


@dataclass(frozen=True)
class Declaration:
    """What shall be. Only the values that were named; `absent` are the things that shall not be."""

    things: dict[Thing, Values]
    absent: frozenset[Thing] = frozenset()
    purge: bool = False

    def of_kind(self, kind: str) -> list[Thing]:
        """In the order in which they were declared."""
        return [thing for thing in self.things if thing.kind == kind]


@dataclass(frozen=True)
class Change:
    """One command's worth. `settings` are Slurm's names and the words for sacctmgr, in order.

    `before` and `after` are the values that differ.
    """

    action: str
    thing: Thing
    settings: tuple[tuple[str, str], ...] = ()
    before: Values = field(default_factory=dict)
    after: Values = field(default_factory=dict)
