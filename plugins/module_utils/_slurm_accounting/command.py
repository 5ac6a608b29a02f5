# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""sacctmgr's argument vectors, and what the columns of its answers are. Pure; nothing here ever is a shell string."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting import fields

if t.TYPE_CHECKING:
    from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.model import Change, Thing

# Fixed texts of a person's making come last: a bar in one cannot shift the columns after it.
QOS_COLUMNS = ("Name", *(one.column for one in fields.QOS if one.name != "description"), "Description")
ACCOUNT_COLUMNS = ("Account", "Organization", "Description")
USER_COLUMNS = ("User", "AdminLevel", "DefaultAccount")
ASSOCIATION_COLUMNS = (
    "Account",
    "User",
    "Partition",
    "ParentName",
    *(attribute.column for attribute in fields.ASSOCIATION),
)
TRES_COLUMNS = ("Type", "Name")
CLUSTER_COLUMNS = ("Cluster",)

# sacctmgr calls by these words what we call a kind.
_ENTITY = {"qos": "qos", "account": "account", "user": "user", "association": "user"}
_MOST_AT_ONCE = 100
_VERB = {"add": "add", "modify": "modify", "remove": "delete"}
# Two quotes as text are its word for "no partition".
_NO_PARTITION = 'partition=""'


def show(sacctmgr: str, entity: str, columns: t.Sequence[str], *conditions: str) -> list[str]:
    return [
        sacctmgr,
        "--readonly",
        "--noheader",
        "--parsable2",
        "show",
        entity,
        *conditions,
        f"format={','.join(columns)}",
    ]


def show_associations(sacctmgr: str, cluster: str) -> list[str]:
    """Each with its own values only: what it gets from its parents is not its own."""
    conditions = ("WOPLimits", "WithRawQOSLevel", "where", f"cluster={cluster}")
    return show(sacctmgr, "association", ASSOCIATION_COLUMNS, *conditions)


def batches(changes: t.Iterable[Change]) -> t.Iterator[list[Change]]:
    """Changes in groups of one command each: a thousand users that differ in their names take ten."""
    batch: list[Change] = []
    for one in changes:
        alike = batch and len(batch) < _MOST_AT_ONCE and _alike(one, batch[0])
        if batch and not alike:
            yield batch
            batch = []
        batch.append(one)
    if batch:
        yield batch


def _alike(one: Change, other: Change) -> bool:
    """New users of one account who differ in nothing but their names."""
    new_users = all(change.action == "add" and change.thing.kind == "association" for change in (one, other))
    return new_users and replace(one.thing, name="") == replace(other.thing, name="") and one.settings == other.settings


def change(sacctmgr: str, batch: t.Sequence[Change], cluster: str, *, sole: bool) -> list[str]:
    """The command of a batch. Without `sole`, other clusters share the database and keep what is theirs."""
    one = batch[0]
    argv = [sacctmgr, "--immediate", _VERB[one.action], _ENTITY[one.thing.kind]]
    settings = [f"{name}={text}" for name, text in one.settings]
    if one.action == "add":
        thing = replace(one.thing, name=",".join(other.thing.name for other in batch))
        return [*argv, *_identity(thing, cluster), *settings]
    everywhere = one.thing.kind == "qos" or (one.action == "remove" and sole and one.thing.kind != "association")
    where = _identity(one.thing, "" if everywhere else cluster)
    if one.thing.kind == "association" and not one.thing.partition:
        where.append(_NO_PARTITION)
    return [*argv, "where", *where, *(["set", *settings] if one.action == "modify" else [])]


def show_users_of_slurmctld(scontrol: str) -> list[str]:
    return [scontrol, "show", "assoc_mgr", "flags=users"]


def reconfigure(scontrol: str) -> list[str]:
    return [scontrol, "reconfigure"]


def _identity(thing: Thing, cluster: str) -> list[str]:
    words = [f"name={thing.name}"]
    if thing.kind == "association":
        words.append(f"account={thing.account}")
    if cluster and thing.kind != "qos":
        words.append(f"cluster={cluster}")
    if thing.partition:
        words.append(f"partition={thing.partition}")
    return words
