# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model of sacctmgr and its database, for faults and for histories that a real one would take hours for.

It follows what Slurm 24.11.5 was seen to do, and where that lets something pass that others refuse it refuses. It reads
argument vectors and prints parsable texts: nothing of the code under test is used.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.llmops.cluster.plugins.module_utils._slurm.run import Completed

TRES = ("cpu", "mem", "node", "billing", "gres/gpu")
Row = dict[str, str]
Key = tuple[str, str, str]  # account, user, partition

_TIMES = {"grpwall": 60, "maxwalldurationperjob": 60, "gracetime": 1}
_DEFAULTS = {"fairshare": "1", "usagefactor": "1.000000", "preemptmode": "cluster", "gracetime": "00:00:00"}


class RefusedError(Exception):
    """sacctmgr says no."""


def new_association() -> Row:
    return {"fairshare": "1"}


def new_qos(name: str) -> Row:
    return {
        "name": name,
        "priority": "0",
        "description": name,
        **{k: v for k, v in _DEFAULTS.items() if k != "fairshare"},
    }


@dataclass
class FakeSacctmgr:
    """A runner. `fail_at` numbers the change that gets no answer; `lies` are changes it takes and does not make."""

    cluster: str = "lab"
    clusters: list[str] = field(default_factory=lambda: ["lab"])
    qos: dict[str, Row] = field(default_factory=lambda: {"normal": new_qos("normal")})
    accounts: dict[str, Row] = field(
        default_factory=lambda: {"root": {"organization": "root", "description": "default root account"}}
    )
    users: dict[str, Row] = field(
        default_factory=lambda: {"root": {"adminlevel": "Administrator", "defaultaccount": "root"}}
    )
    associations: dict[Key, Row] = field(
        default_factory=lambda: {
            ("root", "", ""): {**new_association(), "qos": "normal"},
            ("root", "root", ""): new_association(),
        }
    )
    # What slurmctld knows no user id of.
    without_id: set[str] = field(default_factory=set)
    busy: set[str] = field(default_factory=set)
    silent: int = 0
    fail_at: int | None = None
    lies: bool = False
    changes: list[list[str]] = field(default_factory=list)

    def __call__(self, argv: list[str], env: t.Mapping[str, str], cwd: str = "/") -> Completed:
        words = [word for word in argv[1:] if not word.startswith("--")]
        if argv[0].endswith("scontrol"):
            return self._scontrol(argv)
        if self.silent:
            self.silent -= 1
            return Completed(tuple(argv), 1, "", "sacctmgr: error: slurm_persist_conn_open: Connection refused\n")
        if words[0] == "show":
            return Completed(tuple(argv), 0, self._show(words[1], words[2:]), "")
        self.changes.append(argv)
        if self.fail_at is not None and len(self.changes) > self.fail_at:
            return Completed(tuple(argv), 1, " Error with request: Unspecified error\n", "sacctmgr: error: lost\n")
        if self.lies:
            return Completed(tuple(argv), 0, " Modified\n", "")
        try:
            getattr(self, f"_{words[0]}")(words[1], words[2:])
        except RefusedError as refusal:
            return Completed(tuple(argv), 1, f" {refusal}\n", "")
        return Completed(tuple(argv), 0, " Done\n", "")

    # -- slurmctld

    def _scontrol(self, argv: list[str]) -> Completed:
        if argv[1] == "reconfigure":
            self.changes.append(argv)
            self.without_id = set()
            return Completed(tuple(argv), 0, "", "")
        ids = {name: "4294967294" if name in self.without_id else "1000" for name in self.users}
        text = "".join(f"UserName={name}({uid}) DefAccount=a DefWckey=\n" for name, uid in ids.items())
        return Completed(tuple(argv), 0, f"Current Association Manager state\n\nUser Records\n\n{text}", "")

    # -- what it prints

    def _show(self, entity: str, words: list[str]) -> str:
        columns = next(word for word in words if word.startswith("format=")).removeprefix("format=").lower().split(",")
        if entity == "association" and "WOPLimits" not in words:
            raise AssertionError("inherited limits would be taken for own ones")
        rows: list[Row] = {
            "cluster": lambda: [{"cluster": name} for name in self.clusters],
            "tres": lambda: [dict(zip(("type", "name"), f"{name}/".split("/"), strict=False)) for name in TRES],
            "qos": lambda: list(self.qos.values()),
            "account": lambda: [{"account": name, **row} for name, row in self.accounts.items()],
            "user": lambda: [{"user": name, **row} for name, row in self.users.items()],
            "association": lambda: [
                {"account": account, "user": user, "partition": partition, **row}
                for (account, user, partition), row in self.associations.items()
            ],
        }[entity]()
        return "".join("|".join(row.get(column, "") for column in columns) + "\n" for row in rows)

    # -- what it does

    def _add(self, entity: str, words: list[str]) -> None:
        for name in _pairs(words)["name"].split(","):
            self._add_one(entity, [word for word in words if not word.startswith("name=")] + [f"name={name}"])

    def _add_one(self, entity: str, words: list[str]) -> None:
        given = _pairs(words)
        name = given.pop("name")
        if entity == "qos":
            if name in self.qos:
                raise RefusedError("Nothing new added.")
            self._set(new := new_qos(name), given)
            self.qos[name] = new
            return
        self._own_cluster(given)
        if entity == "account":
            parent = given.pop("parent", "root")
            self._need_account(parent)
            if (name, "", "") in self.associations:
                raise RefusedError(f"Already existing account {name} on cluster {self.cluster}")
            texts: Row = {key: given.pop(key).lower() for key in ("description", "organization") if key in given}
            self.accounts.setdefault(name, {"description": name, "organization": parent, **texts})
            key, row = (name, "", ""), {**new_association(), "parentname": parent}
        else:
            account, partition = given.pop("account"), given.pop("partition", "")
            self._need_account(account)
            key, row = (account, name, partition), new_association()
            if key in self.associations:
                raise RefusedError("Nothing added.")
            person: Row = {key: given.pop(key) for key in ("defaultaccount", "adminlevel") if key in given}
            if person.get("defaultaccount", account) != account:
                raise RefusedError("the first account of a user is his default")
            if not any(user == name for _account, user, _partition in self.associations):
                self.users.setdefault(name, {"adminlevel": "None"})
                self.users[name]["defaultaccount"] = account
            self.users[name].update(person)
        self._set(row, given)
        self.associations[key] = row
        self._refuse_stranded()

    def _modify(self, entity: str, words: list[str]) -> None:
        where, given = (_pairs(part) for part in _split(words, "set"))
        name = where.pop("name")
        if entity == "qos":
            if name not in self.qos:
                raise RefusedError("Nothing modified")
            self._set(self.qos[name], given)
            return
        self._own_cluster(where)
        before = {key: dict(row) for key, row in self.associations.items()}
        try:
            if entity == "account":
                self._modify_account(name, given)
            else:
                self._modify_user(name, where, given)
            self._refuse_stranded()
        except RefusedError:
            self.associations = before
            raise

    def _modify_account(self, name: str, given: Row) -> None:
        self._need_account(name)
        for key in ("description", "organization"):
            if key in given:
                self.accounts[name][key] = given.pop(key).lower()
        row = self.associations[(name, "", "")]
        if "parent" in given:
            parent = given.pop("parent")
            self._need_account(parent)
            if name in self._above(parent):
                raise RefusedError("an account below itself")
            row["parentname"] = parent
        self._set(row, given)

    def _modify_user(self, name: str, where: Row, given: Row) -> None:
        if name not in self.users:
            raise RefusedError("Nothing modified")
        person: Row = {key: given.pop(key) for key in ("defaultaccount", "adminlevel") if key in given}
        default = person.get("defaultaccount")
        if default and not any(user == name and account == default for account, user, _p in self.associations):
            raise RefusedError("no such association")
        self.users[name].update(person)
        if given:
            self._set(self.associations[self._key(name, where)], given)

    def _delete(self, entity: str, words: list[str]) -> None:
        where = _pairs(words[1:])
        name = where["name"]
        if name in self.busy:
            raise RefusedError("Error with request: Job(s) active, cancel job(s) before remove")
        if entity == "qos":
            self._delete_qos(name)
        elif entity == "account":
            if name not in self.accounts or any(
                (account == name and user) or row.get("parentname") == name
                for (account, user, _partition), row in self.associations.items()
            ):
                raise RefusedError("there is something in it")
            del self.associations[(name, "", "")]
            if "cluster" not in where:
                del self.accounts[name]
        elif "account" in where:
            self._delete_association(self._key(name, where))
        else:
            self.associations = {key: row for key, row in self.associations.items() if key[1] != name}
            if "cluster" not in where:
                del self.users[name]

    def _delete_qos(self, name: str) -> None:
        del self.qos[name]
        for row in [*self.associations.values(), *self.qos.values()]:
            for key in ("qos", "preempt"):
                left = [one for one in row.get(key, "").split(",") if one.lstrip("+-") not in ("", name)]
                row[key] = ",".join(left)

    def _delete_association(self, key: Key) -> None:
        left = [account for account, user, partition in self.associations if user == key[1]]
        left.remove(key[0])
        if left and self.users[key[1]]["defaultaccount"] not in left:
            raise RefusedError("Error with request: You can not remove the default account of a user")
        del self.associations[key]

    # -- how it keeps what it is given

    def _set(self, row: Row, given: Row) -> None:
        for key, text in given.items():
            if "tres" in key:
                row[key] = _merged_tres(row.get(key, ""), text)
            elif key in ("qos", "preempt"):
                names = [name for name in text.split(",") if name]
                if unknown := [name for name in names if name not in self.qos]:
                    raise RefusedError(f"You gave a bad qos {unknown[0]!r}.")
                row[key] = ",".join(names)
            elif key == "defaultqos" and text != "-1" and text not in self.qos:
                raise RefusedError(f"You gave a bad default qos {text!r}.")
            elif text == "-1":
                row[key] = _DEFAULTS.get(key, "")
            elif key in _TIMES:
                row[key] = _clock(int(text) * _TIMES[key])
            elif key in ("description",):
                row[key] = text.lower()
            elif not re.fullmatch(r"[\w:.,/-]+", text):
                raise RefusedError(f"Invalid value for {key} ({text})")
            else:
                row[key] = text

    def _refuse_stranded(self) -> None:
        for key in self.associations:
            default = self._default_of(key)
            if default and default not in self._qos_of(key):
                raise RefusedError("These associations don't have access to their default qos.")

    def _qos_of(self, key: Key) -> set[str]:
        own = self.associations[key].get("qos", "")
        return set(own.split(",")) if own else self._qos_of(self._over(key))

    def _default_of(self, key: Key) -> str:
        own = self.associations[key].get("defaultqos", "")
        return own if own or key == ("root", "", "") else self._default_of(self._over(key))

    def _over(self, key: Key) -> Key:
        account, user, _partition = key
        return (account if user else self.associations[key]["parentname"], "", "")

    def _above(self, name: str) -> list[str]:
        found = [name]
        while parent := self.associations[(found[-1], "", "")].get("parentname"):
            found.append(parent)
        return found

    def _key(self, name: str, where: Row) -> Key:
        """Without a partition sacctmgr would take all partitions of the account."""
        key = (where["account"], name, where["partition"].replace('""', ""))
        if key not in self.associations:
            raise RefusedError("Nothing modified")
        return key

    def _need_account(self, name: str) -> None:
        if (name, "", "") not in self.associations:
            raise RefusedError(f"No account {name} on cluster {self.cluster}, skipping.")

    def _own_cluster(self, given: Row) -> None:
        if given.pop("cluster", None) != self.cluster:
            raise AssertionError("another cluster would be changed as well")


def _pairs(words: list[str]) -> Row:
    pairs = [word.partition("=") for word in words if word != "where"]
    return {name.lower(): text for name, _equals, text in pairs}


def _split(words: list[str], at: str) -> tuple[list[str], list[str]]:
    place = words.index(at)
    return words[:place], words[place + 1 :]


def _merged_tres(have: str, text: str) -> str:
    amounts = dict(pair.split("=") for pair in have.split(",") if pair)
    for pair in text.split(","):
        name, amount = pair.split("=")
        if name not in TRES:
            raise RefusedError(f"slurmdb_format_tres_str: no TRES known by type {name}")
        amounts[name] = amount
    return ",".join(f"{name}={amount}" for name, amount in amounts.items() if amount != "-1")


def _clock(seconds: int) -> str:
    days, rest = divmod(seconds, 86400)
    shown = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days}-{shown}" if days else shown
