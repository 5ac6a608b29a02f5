# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what sacctmgr prints to the state. Pure."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting import command, fields, model
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.errors import ReadError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.model import State, Thing, Values
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.values import BadValueError

if t.TYPE_CHECKING:
    from collections.abc import Sequence


def rows(text: str, columns: Sequence[str], what: str) -> list[dict[str, str]]:
    """The lines of a parsable answer, by column."""
    found = []
    for line in text.splitlines():
        if not line.strip():
            continue
        cells = line.split("|", len(columns) - 1)
        if len(cells) != len(columns):
            raise ReadError(
                f"Reading {what} failed: sacctmgr answered {line!r}, which has {len(cells)} columns instead of "
                f"{len(columns)}. Run `sacctmgr show {what}` by hand and look for a text with a line break in it."
            )
        found.append({column: cell.strip() for column, cell in zip(columns, cells)})  # noqa: B905 - Python 3.9
    return found


def cluster_names(text: str) -> list[str]:
    return [row["Cluster"] for row in rows(text, command.CLUSTER_COLUMNS, "cluster")]


def tres_names(text: str) -> frozenset[str]:
    found = rows(text, command.TRES_COLUMNS, "tres")
    return frozenset(f"{row['Type']}/{row['Name']}" if row["Name"] else row["Type"] for row in found)


# slurmctld's word for a user that its host did not know when it heard of him.
_NO_ID = re.compile(r"^UserName=(\S+)\(4294967294\)", re.MULTILINE)


def users_without_id(text: str) -> set[str]:
    return set(_NO_ID.findall(text))


def state(
    *, qos: str, accounts: str, users: str, associations: str, tres: str = "", other_clusters: t.Iterable[str] = ()
) -> State:
    """One cluster's part of the database. An account or a user without an association on it is none of its own."""
    things: dict[Thing, Values] = {}
    for row in rows(qos, command.QOS_COLUMNS, "qos"):
        things[model.qos(row["Name"])] = _values(fields.QOS, row)
    texts = {row["Account"]: row for row in rows(accounts, command.ACCOUNT_COLUMNS, "account")}
    people = {row["User"]: row for row in rows(users, command.USER_COLUMNS, "user")}
    for row in rows(associations, command.ASSOCIATION_COLUMNS, "association"):
        if not row["User"]:
            whole = {"Organization": "", "Description": "", **texts.get(row["Account"], {}), **row}
            things[model.account(row["Account"])] = _values(fields.ACCOUNT, {**whole, "Parent": row["ParentName"]})
            continue
        things[model.association(row["User"], row["Account"], row["Partition"])] = _values(fields.ASSOCIATION, row)
        nobody = {"AdminLevel": "", "DefaultAccount": ""}
        things[model.user(row["User"])] = _values(fields.USER, people.get(row["User"], nobody))
    return State(things, tres_names(tres), tuple(other_clusters))


def _values(attributes: Sequence[fields.Attribute], row: dict[str, str]) -> Values:
    found = {}
    for attribute in attributes:
        printed = row[attribute.column]
        try:
            found[attribute.name] = attribute.kind.parsed(printed)
        except BadValueError as error:
            name = row.get("Name") or row.get("User") or row.get("Account")
            raise ReadError(
                f"Reading {attribute.column} of {name} failed: sacctmgr printed {printed!r} instead of {error}. "
                "Report this with the version of Slurm."
            ) from error
    return found
