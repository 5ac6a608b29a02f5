# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One node of a serving job, from its place in the network to the end of its processes."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import typing as t
from collections.abc import Sequence
from pathlib import Path

from llmops_node import address, command, mesh, ports
from llmops_node.errors import NodeError
from llmops_node.keep import GRACE, Keeper, say
from llmops_node.processes import Processes, adopt_orphans

_TRIES = 3
_MARKS = ("--beside", "--instead", "--first", "--others", "--engine")


def _options(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="llmops_node", description=__doc__, allow_abbrev=False)
    parser.add_argument("--interface", default="", help="names, patterns or networks; empty: by the route")
    parser.add_argument("--port-range", required=True, type=ports.parse_range)
    parser.add_argument("--port", required=True, type=int, help="where the API is to be, if that is free")
    parser.add_argument("--own-ports", default="", help="names of ports of every node")
    parser.add_argument("--first-ports", default="", help="names of ports of the first node alone")
    parser.add_argument(
        "--wait-for", default="", help="a port of the first node that must answer before the rest starts"
    )
    parser.add_argument("--daemon", default="", help="the process that --beside and --instead leave running")
    parser.add_argument("--servers", default="first", choices=["first", "every"], help="which nodes have an API")
    parser.add_argument("--copies", type=int, default=1, help="data parallel copies on each node")
    parser.add_argument("--collective", default="", choices=["", "gloo", "nccl"], help="what to try beyond the links")
    parser.add_argument("--env", action="append", default=[], help="NAME=VALUE, with words in braces filled in")
    parser.add_argument("--remove", default="", help="a folder of this job's own, removed at the end")
    parser.add_argument("--meet-seconds", type=float, default=120)
    parser.add_argument("--drain-seconds", type=float, default=20)
    parser.add_argument("--grace-seconds", type=float, default=GRACE, help="what a stopped engine gets beyond that")
    parser.add_argument("--key-file", default="")
    parser.add_argument("--model-dir", required=True, type=Path)
    parser.add_argument("--record", default="")
    return parser.parse_args(list(words))


def _names() -> list[str]:
    """The job's nodes in the order of their ranks."""
    nodes = os.environ.get("SLURM_STEP_NODELIST") or os.environ["SLURM_JOB_NODELIST"]
    if not set("[,") & set(nodes):
        return [nodes]
    done = subprocess.run(
        ["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.split()


def _key(path: str) -> dict[str, str]:
    """The API key for the engine's environment, and nowhere else."""
    if not path:
        return {}
    try:
        key = Path(path).read_text().strip()
    except OSError:
        key = ""
    if not key:
        user = os.environ.get("USER", str(os.getuid()))
        raise NodeError(
            f"Reading the API key from {path} on {socket.gethostname()} failed: no key there for {user}.", 78
        )
    return {"VLLM_API_KEY": key}


def _wait_until_open(host: str, port: int, seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection((host, port), timeout=2).close()
            return
        except OSError:
            time.sleep(0.5)
    raise NodeError(f"Waiting for {what} at {host}, port {port}, failed: nobody answers after {seconds:g} s.")


class Node:
    """This node, and what it knows of the others."""

    def __init__(self, options: argparse.Namespace, parts: dict[str, list[str]]) -> None:
        self.options, self.parts = options, parts
        self.job = int(os.environ["SLURM_JOB_ID"])
        self.rank = int(os.environ.get("SLURM_PROCID", "0"))
        self.names = _names()
        self.node = self.names[self.rank]
        self.leases = ports.Leases(options.port_range, self.job)
        self.links: dict[int, mesh.Link] = {}
        self.link: mesh.Link | None = None
        self.place = address.Place("lo", "127.0.0.1")

    @property
    def alone(self) -> bool:
        return len(self.names) == 1

    def meet(self) -> list[mesh.Member]:
        """All nodes, after every link between them was tried."""
        options = self.options
        if not self.alone:
            others = [name for name in self.names if name != self.node]
            self.place = address.find(options.interface, others)
        server = None
        if self.rank == 0 and not self.alone:
            server = socket.create_server(("", self.leases.first([], "the meeting")), backlog=len(self.names))
        names = [*(["port"] if self.has_server else []), *options.own_ports.split()]
        names += options.first_ports.split() if self.rank == 0 else []
        names += ["collective"] if self.rank == 0 and self.tries_collective else []
        own = self.leases.named(names, {"port": options.port})
        if own.get("port", options.port) != options.port:
            say(f"Port {options.port} is taken on {self.node}: the API listens on {own['port']} instead.")
        probe = 0 if self.alone else self.leases.first([], "trying the links")
        me = mesh.Member(self.rank, self.node, self.place.interface, self.place.address, probe, own)
        if self.alone:
            return [me]
        say(f"Node {self.rank + 1} of {len(self.names)}: {self.node}, {self.place}")
        meeting = mesh.Meeting(os.environ["LLMOPS_MEETING"], len(self.names), options.meet_seconds)
        with mesh.listening(probe):
            members = self._met(meeting, me, server)
            links = self.link if self.link is not None else self.links
            faults = mesh.agree(me, members, links)
        if faults:
            raise NodeError(
                "Trying the links between the nodes failed:\n  "
                + "\n  ".join(faults)
                + "\nOpen the ports between the nodes, "
                "or name an interface that reaches (the key interface of the entry, or vllm_jobs_interface)."
                if self.rank == 0
                else "A link between the nodes failed; the first node's lines tell which."
            )
        if self.rank == 0:
            say(f"All {len(members) * (len(members) - 1)} links between {len(members)} nodes answer.")
        return members

    @property
    def tries_collective(self) -> bool:
        return bool(self.options.collective) and not self.alone

    @property
    def has_server(self) -> bool:
        return self.rank == 0 or self.options.servers == "every"

    def _met(self, meeting: mesh.Meeting, me: mesh.Member, server: socket.socket | None) -> list[mesh.Member]:
        if server is not None:
            with server:
                members, self.links = meeting.gather(server, me, self.names)
            return members
        order = list(ports.in_turn(self.options.port_range, self.job))
        members, self.link = meeting.join(lambda: address.addresses_of(self.names[0]), order, me, self.names[0])
        return members

    def facts(self, members: Sequence[mesh.Member]) -> dict[str, t.Any]:
        first, own = members[0], members[self.rank]
        return {
            "rank": self.rank,
            "start_rank": self.rank * self.options.copies,
            "job": self.job,
            "word": os.environ.get("LLMOPS_MEETING", ""),
            "address": own.address,
            "first_address": first.address,
            **{f"first_{name}": port for name, port in first.ports.items()},
            **own.ports,
        }

    def record(self, members: Sequence[mesh.Member]) -> None:
        """Where the API is, for whoever looks for it. Its beginning is what the job's script has made up."""
        path = Path(self.options.record)
        if not path.name or not os.access(path.parent, os.W_OK):
            return
        known = json.loads(os.environ["LLMOPS_RECORD"])
        servers = [
            {"address": one.address if not self.alone else one.node, "host": one.node, "port": one.ports["port"]}
            for one in members
            if "port" in one.ports
        ]
        known |= {"port": members[0].ports["port"], "nodes": self.names, "servers": servers}
        temporary = path.with_suffix(".tmp")
        try:
            temporary.write_text(json.dumps(known) + "\n")
            temporary.replace(path)
        except OSError as error:
            say(f"Recording the endpoint in {path} failed: {error.strerror}; serving goes on.")

    def environment(self, facts: dict[str, t.Any]) -> dict[str, str]:
        """What all processes of this node are given."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("LLMOPS_")}
        added = dict(word.split("=", 1) for word in command.fill(self.options.env, facts))
        return {**own, **added} if self.alone else command.environment(own, self.place, added)

    def serve(self, members: Sequence[mesh.Member], processes: Processes, keeper: Keeper) -> int:
        """Starts this node's part and keeps it."""
        facts, parts = self.facts(members), self.parts
        environment = self.environment(facts)
        key = _key(self.options.key_file)
        if self.link is not None:
            if parts["--instead"]:
                port = facts[f"first_{self.options.wait_for}"]
                _wait_until_open(members[0].address, port, 120, self.options.wait_for)
                daemon = self.leave_daemon(command.fill(parts["--instead"], facts), environment, processes)
                self.link.send("up")
                return keeper.other(daemon, self.link)
            return keeper.other(self.start_engine("--others", facts, {**environment, **key}, processes), self.link)
        helper = None
        if parts["--beside"]:
            helper = self.leave_daemon(command.fill(parts["--beside"], facts), environment, processes)
            self._wait_for_others()
        self.record(members)
        return keeper.first(self.start_engine("--first", facts, {**environment, **key}, processes), helper, self.links)

    def start_engine(
        self, mark: str, facts: dict[str, t.Any], environment: dict[str, str], processes: Processes
    ) -> int:
        argv = [*self.parts["--engine"], *command.fill(self.parts[mark], facts)]
        say(f"{self.node} runs: {' '.join(argv)}")
        return processes.start(argv, environment)

    def leave_daemon(self, argv: list[str], environment: dict[str, str], processes: Processes) -> int:
        """Runs a command that leaves a daemon, which is ours then, and returns the daemon's pid."""
        say(f"{self.node} runs: {' '.join(argv)}")
        # Ray gives itself half a minute to come up, which a busy machine may not be able to.
        for _try in range(_TRIES):
            status = processes.wait(processes.start(argv, environment), 180)
            daemon = processes.named(self.options.daemon)
            if status == 0 and daemon is not None:
                return daemon
            processes.end_all()
        raise NodeError(
            f"Starting {self.options.daemon} on {self.node} failed {_TRIES} times. The lines above tell why."
        )

    def try_collective(self, members: Sequence[mesh.Member], processes: Processes) -> None:
        """Sums over all nodes with the library of the engine, before the engine starts."""
        if not self.tries_collective:
            return
        first = members[0]
        argv = [sys.executable, str(Path(__file__).with_name("collective.py")), self.options.collective, first.address]
        argv += [str(first.ports["collective"]), str(self.rank), str(len(members))]
        status = processes.wait(processes.start(argv, command.environment(os.environ, self.place, {})), 180)
        if status != 0:
            raise NodeError(
                f"Summing over all nodes by {self.options.collective} failed on {self.node} ({self.place}). The lines "
                "above tell why; the links themselves answer. vllm_jobs_preflight: links leaves this out."
            )

    def _wait_for_others(self) -> None:
        for rank, link in self.links.items():
            if link.receive(180) != "up":
                raise NodeError(f"Waiting for {self.names[rank]} failed: its part did not come up.")


def _look(model_dir: Path, node: str) -> None:
    """The node's GPUs for whoever reads the output, and whether the model is there."""
    if shutil.which("nvidia-smi"):
        subprocess.run(["nvidia-smi", "-L"], check=False, timeout=60)
    if not (model_dir / "snapshots").is_dir():
        raise NodeError(
            f"The model is not on {node}: {model_dir / 'snapshots'} is missing. Deploy it there first.", status=66
        )


def main(words: Sequence[str]) -> int:
    """The status that the step ends with."""
    before, parts = command.split(words, _MARKS)
    options = _options(before)
    adopt_orphans()
    processes = Processes()
    node = Node(options, parts)
    keeper = Keeper(processes, options.drain_seconds, node.names, options.grace_seconds)
    status = 70
    try:
        _look(options.model_dir, node.node)
        members = node.meet()
        node.try_collective(members, processes)
        signal.signal(signal.SIGTERM, keeper.ask)
        status = node.serve(members, processes, keeper)
    except NodeError as error:
        print(error, file=sys.stderr, flush=True)
        status = error.status
    finally:
        # Asked to end, the engine has had its time.
        left = processes.end_all(gently=0.0 if keeper.asked else 10.0)
        if options.remove:
            shutil.rmtree(options.remove.replace("{job}", str(node.job)), ignore_errors=True)
        for link in node.links.values():
            _tell(link, status)
    if left:
        say(f"Processes that could not be killed: {', '.join(map(str, left))}.")
    return status


def _tell(link: mesh.Link, status: int) -> None:
    try:
        link.send(status)
    except OSError:
        return
