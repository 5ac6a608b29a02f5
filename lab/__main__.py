"""The lab's command line: `python -m lab COMMAND`. `make demo`, `make demo-down` and the tests call it."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from . import cloud, demo, hosts, hub, image, machine, podman, vm
from .errors import LabError
from .lock import only_one
from .settings import CHECKOUT, Lab, load


def main() -> int:
    arguments = _parser().parse_args()
    try:
        lab = load(arguments.name, Path(arguments.inventory))
        if arguments.command == "env":
            print(demo.environment_lines(lab))
            return 0
        machine.check_tools()
        if arguments.command == "cloud":
            # Beside other commands on this lab, so without their lock.
            _cloud(lab)
        if arguments.command in ("up", "demo"):
            machine.check_room()
        with only_one(lab):
            _COMMANDS[arguments.command](lab)
            if arguments.command == "up" and not arguments.no_hub:
                hub.up(lab)
    except LabError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"\n{shlex.join(error.cmd)} failed with status {error.returncode}.", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"\n{error.filename or arguments.command}: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. The same command goes on from here.", file=sys.stderr)
        return 130
    return 0


def _up(lab: Lab) -> None:
    podman.ensure_ready()
    image.ensure(lab)
    hosts.up(lab)
    names = [host.name for host in lab.hosts]
    print(f"lab {lab.name}: {', '.join(names)} are up; ssh -F {lab.ssh_config} {names[0]}")


def _down(lab: Lab) -> None:
    # Its state goes below, and with it the only way to find an emulated host.
    vm.stop(lab)
    podman.ensure_ready()
    hosts.down(lab)
    shutil.rmtree(lab.state, ignore_errors=True)
    print(f"lab {lab.name}: removed.")


def _status(lab: Lab) -> None:
    podman.ensure_ready()
    for name, state in sorted(podman.containers(lab.container("")).items()):
        print(f"{name}  {state}")


def _cloud(lab: Lab) -> None:
    with cloud.Cloud(lab) as server:
        print(f"lab {lab.name}: {', '.join(server.hosts)} can be switched by {lab.facts()['cloud_url']}", flush=True)
        threading.Event().wait()


_COMMANDS = {"up": _up, "down": _down, "status": _status, "demo": demo.run}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab", description=__doc__)
    parser.add_argument("command", choices=[*_COMMANDS, "cloud", "env"])
    parser.add_argument("--name", default=os.environ.get("LLMOPS_LAB", "demo"), help="which lab (default: demo)")
    parser.add_argument("--inventory", default=str(CHECKOUT / "inventory/lab"), help="folder with hosts.yml")
    parser.add_argument("--no-hub", action="store_true", help="with up: without the stand-in for the model hub")
    return parser


sys.exit(main())
