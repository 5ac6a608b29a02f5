# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ec2-driver start|stop|list: one JSON object in, one out (docs/elastic.md)."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from .commands import Driver
from .ec2 import Cloud, Ec2
from .model import CAPACITY, PERMANENT, THROTTLED, DriverError, Request, Settings, read_request
from .together import Deadline, side_by_side

# The contract's words, and what does them.
COMMANDS: dict[str, Callable[[Driver], dict[str, Any]]] = {
    "start": Driver.start,
    "stop": Driver.stop,
    "list": Driver.tell,
}
EXITS = {CAPACITY: 10, THROTTLED: 11, PERMANENT: 12}


def act(command: str, text: str, connect: Callable[[str, Settings], Cloud] = Ec2) -> dict[str, Any]:
    """Do one command within its time."""
    try:
        request = read_request(json.loads(text))
    except ValueError as error:
        raise DriverError(PERMANENT, f"the request is no JSON: {error}") from error
    seconds = request.settings.timeout

    def work(asked: Request) -> dict[str, Any]:
        return COMMANDS[command](Driver(connect(asked.cluster, asked.settings), asked, Deadline(seconds)))

    done = side_by_side(work, [request], 1, seconds)
    if request not in done:
        raise DriverError(THROTTLED, f"EC2 did not answer within {seconds:.0f} s")
    return done[request]


def main(arguments: Sequence[str], given: TextIO, out: TextIO, err: TextIO) -> int:
    if len(arguments) != 1 or arguments[0] not in COMMANDS:
        err.write(f"usage: ec2-driver {'|'.join(COMMANDS)}, with a request on standard input\n")
        return 2
    try:
        answer = act(arguments[0], given.read())
    except DriverError as error:
        err.write(f"{arguments[0]}: {error}\n")
        return EXITS[error.kind]
    json.dump(answer, out)
    return 0


def run() -> None:
    """Leave without waiting for calls that came to no end in time; what they make is found by the next call."""
    try:
        status = main(sys.argv[1:], sys.stdin, sys.stdout, sys.stderr)
    except Exception as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
