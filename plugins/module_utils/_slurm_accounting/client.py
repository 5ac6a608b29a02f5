# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talks to sacctmgr: reads what is there, asks again while nobody answers, and makes changes."""

from __future__ import annotations

import re
import time
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._slurm.command import PATH
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.run import COMMAND_SECONDS, Completed, Runner, run
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting import command, parse
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.errors import ChangeError, ReadError
from ansible_collections.llmops.cluster.plugins.module_utils._wait import Backoff, Seen, Waiter, WaitTimeoutError

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.model import Change, State

# A restart of slurmdbd takes seconds, one that converts its tables longer; slurmctld registers a new cluster after it.
PATIENCE = 60.0
_ADVICE = (
    (re.compile(r"job\(s\) active|jobs? running|has running jobs", re.I), "Cancel its jobs or wait until they end."),
    (re.compile(r"access|permission|denied|not (?:running|privileged)", re.I), "Use become: root and SlurmUser may."),
    (re.compile(r"unable to contact|connection|timed? ?out|slurm_persist", re.I), "Look at slurmdbd and at munge."),
)


class AccountingClient:
    """One cluster's accounting."""

    def __init__(
        self,
        sacctmgr: str,
        cluster: str,
        inherited: Mapping[str, str],
        *,
        scontrol: str | None = None,
        runner: Runner = run,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._sacctmgr = sacctmgr
        self._scontrol = scontrol
        self._cluster = cluster
        self._environment = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "PATH": PATH}
        if inherited.get("SLURM_CONF"):
            self._environment["SLURM_CONF"] = inherited["SLURM_CONF"]
        self._run = runner
        self._patience = patience
        self._clock = clock
        self._sleep = sleep

    def state(self) -> State:
        others = self._other_clusters()

        def text(entity: str, columns: Sequence[str]) -> str:
            return self._read(command.show(self._sacctmgr, entity, columns), entity).out

        return parse.state(
            qos=text("qos", command.QOS_COLUMNS),
            accounts=text("account", command.ACCOUNT_COLUMNS),
            users=text("user", command.USER_COLUMNS),
            associations=self._read(command.show_associations(self._sacctmgr, self._cluster), "association").out,
            tres=text("tres", command.TRES_COLUMNS),
            other_clusters=others,
        )

    def change(self, batch: Sequence[Change], *, sole: bool) -> None:
        one = batch[0]
        argv = command.change(self._sacctmgr, batch, self._cluster, sole=sole)
        answer = self._run(argv, self._environment)
        if answer.rc == 0:
            return
        complaint = _in_one_line(answer)
        others = f" and {len(batch) - 1} more" if len(batch) > 1 else ""
        advice = next((words for pattern, words in _ADVICE if pattern.search(complaint)), "")
        raise ChangeError(
            f"{_DOING[one.action]} the {one.thing}{others} failed: {complaint.rstrip('.')}. "
            f"{advice}{' ' if advice else ''}What came before it is done; run this task again to go on from there.",
            facts={"cmd": argv, "rc": answer.rc, "stderr": answer.err, "stdout": answer.out},
        )

    def users_without_id(self) -> set[str]:
        """Users whose jobs slurmctld refuses, because it knows no user id of them. Empty where it cannot be asked."""
        if self._scontrol is None:
            return set()
        answer = self._run(command.show_users_of_slurmctld(self._scontrol), self._environment)
        return parse.users_without_id(answer.out) if answer.rc == 0 else set()

    def look_for_ids(self) -> None:
        """slurmctld looks for a user id when it hears of a user, when it is reconfigured, and else once an hour."""
        argv = command.reconfigure(self._scontrol or "scontrol")
        answer = self._run(argv, self._environment)
        if answer.rc != 0:
            raise ChangeError(
                f"Making slurmctld look for user ids failed: {_in_one_line(answer).rstrip('.')}. "
                "Run `scontrol reconfigure` when it answers again.",
                facts={"cmd": argv, "rc": answer.rc, "stderr": answer.err},
            )

    def _other_clusters(self) -> tuple[str, ...]:
        """The other clusters of the database. Ours has to be there: slurmctld registers it when it starts."""

        def look() -> Seen[list[str]]:
            answer = self._read(command.show(self._sacctmgr, "cluster", command.CLUSTER_COLUMNS), "cluster")
            names = parse.cluster_names(answer.out)
            return Seen(done=self._cluster in names, value=names)

        try:
            names = self._waiter(look, min(self._patience, 15.0)).wait().value
        except WaitTimeoutError as timeout:
            known = ", ".join(timeout.last) or "none"
            raise ReadError(
                f"Reading the accounting of the cluster {self._cluster} failed: the database knows no such cluster "
                f"(known: {known}). Start slurmctld with that ClusterName, or correct the name."
            ) from timeout
        return tuple(name for name in names if name != self._cluster)

    def _read(self, argv: list[str], what: str) -> Completed:
        def look() -> Seen[Completed]:
            answer = self._run(argv, self._environment)
            return Seen(done=answer.rc == 0, value=answer)

        try:
            return self._waiter(look, self._patience).wait().value
        except WaitTimeoutError as timeout:
            last: Completed = timeout.last
            raise ReadError(
                f"Reading {what} failed: sacctmgr gave no answer for {timeout.seconds:.0f} seconds "
                f"(last: {_in_one_line(last)}). Look at slurmdbd with `sacctmgr ping` and at munge on this host, "
                "then run this task again.",
                facts={"cmd": argv, "rc": last.rc, "stderr": last.err},
            ) from timeout

    def _waiter(self, look: Callable[[], Seen[t.Any]], timeout: float) -> Waiter[t.Any]:
        return Waiter(look, timeout=timeout, backoff=Backoff(first=0.5, most=5), clock=self._clock, sleep=self._sleep)


_DOING = {"add": "Adding", "modify": "Changing", "remove": "Removing"}


def _in_one_line(answer: Completed) -> str:
    """sacctmgr complains on both of its outputs."""
    if answer.rc is None:
        return f"no answer within {COMMAND_SECONDS:.0f} seconds"
    lines = [
        re.sub(r"^sacctmgr: (?:error: )?", "", line.strip()) for line in f"{answer.err}\n{answer.out}".splitlines()
    ]
    return "; ".join(line for line in lines if line) or f"exit code {answer.rc} and no message"
