# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line. Slurm calls the links elastic-resume, elastic-suspend, elastic-resume-failed with a host list."""

from __future__ import annotations

import argparse
import json
import logging
import logging.handlers
import os
import sys
from pathlib import Path

from . import settings as settings_module
from . import status
from .commands import Elastic, log, resume_file
from .driver import Driver
from .errors import ElasticError
from .settings import Settings, load
from .slurm import Slurm
from .state import Store

_SLURM = {"resume": "start nodes", "suspend": "stop nodes", "fail": "handle nodes that did not come up"}
# What Slurm calls takes no word but the host list.
LINKS = {"elastic-resume": "resume", "elastic-suspend": "suspend", "elastic-resume-failed": "fail"}


def words(argv: list[str]) -> list[str]:
    """The arguments after the name of the call; those of a link begin with its command."""
    command = LINKS.get(os.path.basename(argv[0]))
    return [command, *argv[1:]] if command else argv[1:]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="llmops-elastic", description="Elastic nodes of Slurm.")
    made.add_argument("--settings", type=Path, default=settings_module.FILE, help="default: %(default)s")
    commands = made.add_subparsers(dest="command", required=True)
    for name, what in _SLURM.items():
        commands.add_parser(name, help=f"{what} (called by Slurm)").add_argument("nodes", help="a host list of Slurm")
    commands.add_parser("sweep", help="find orphans and stuck nodes and mend them (called by a timer)")
    commands.add_parser("status", help="what is protected, failing, running")
    unprotect = commands.add_parser("unprotect", help="let the nodes of a partition be started again")
    unprotect.add_argument("partition")
    away = commands.add_parser("away", help="names of nodes that do not run, in JSON")
    away.add_argument("--hold", type=float, default=0.0, help="seconds for which the others are not stopped")
    commands.add_parser("release", help="end what --hold began")
    return made


def become(uid: int, gid: int) -> None:
    """Files belong to Slurm's user, whoever calls. By number: site.yml asks before there is that user."""
    if os.geteuid() == 0:
        os.setgroups([gid])
        os.setgid(gid)
        os.setuid(uid)


def set_up_log() -> None:
    """The journal, for slurmctld throws away what its programs print; a terminal too."""
    log.setLevel(logging.INFO)
    if Path("/dev/log").exists():
        journal = logging.handlers.SysLogHandler("/dev/log")
        journal.ident = "llmops-elastic: "
        log.addHandler(journal)
    # What a service of systemd prints is in the journal too, so there it would be twice.
    if "JOURNAL_STREAM" not in os.environ or not log.handlers:
        log.addHandler(logging.StreamHandler())


def run(elastic: Elastic, arguments: argparse.Namespace, jobs: str | None) -> str:
    """Do one command; returns what to print."""
    command: str = arguments.command
    if command == "resume":
        elastic.resume(arguments.nodes, jobs)
    elif command in _SLURM:
        getattr(elastic, command)(arguments.nodes)
    elif command == "unprotect":
        return elastic.unprotect(arguments.partition)
    elif command == "away":
        return json.dumps(elastic.away(arguments.hold))
    elif command == "status":
        instances = elastic.driver.list()
        return status.text(elastic.store.read(), elastic.settings, elastic.slurm.nodes(), instances, elastic.clock())
    else:
        getattr(elastic, command)()
    return ""


def build(settings: Settings) -> Elastic:
    return Elastic(settings, Store(settings.state_folder), Slurm(settings.slurm_bin), Driver(settings))


def main() -> int:
    jobs = resume_file()
    arguments = parser().parse_args(words(sys.argv[1:]))
    set_up_log()
    try:
        settings = load(arguments.settings)
        become(settings.uid, settings.gid)
        said = run(build(settings), arguments, jobs)
    except ElasticError as error:
        log.error("%s failed: %s", arguments.command, error)
        return 1
    if said:
        print(said)
    return 0


if __name__ == "__main__":
    sys.exit(main())
