"""moto's server, which as of 5.2.5 makes a second instance for a repeated client token; here it makes one, as EC2 says.

The behaviour is that of "Ensuring idempotency" and of the error codes in the Amazon EC2 API reference: the same token
and words get the answer of the first call, other words under the same token are refused, and so is the token of an
instance that was terminated.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses.instances import InstanceResponse
from moto.server import main

_lock = threading.Lock()
_made: dict[str, tuple[dict[str, Any], ActionResult]] = {}
_plain = InstanceResponse.run_instances


def run_instances(self: InstanceResponse) -> ActionResult:
    token = self._get_param("ClientToken")
    words = {key: value for key, value in self.data.items() if not key.startswith("X-Amz")}
    with _lock:
        if token not in _made:
            _made[token] = (words, _plain(self))
        first, answer = _made[token]
        states = [one.state for one in getattr(answer.result, "instances", [])]
    if "terminated" in states:
        raise EC2ClientError("IdempotentInstanceTerminated", "The instance of this client token was terminated")
    if first != words:
        raise EC2ClientError("IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent")
    return answer


if __name__ == "__main__":
    InstanceResponse.run_instances = run_instances  # type: ignore[method-assign]
    main(sys.argv[1:])
