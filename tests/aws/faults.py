"""What may go wrong with a call to AWS, and the words in which each service says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from xml.sax.saxutils import escape

Kind = Literal["lose_answer", "slow", "cut", "throttle", "capacity", "error500", "refuse"]
# Kinds in which AWS acts.
ACTS = ("lose_answer", "slow")
XML = "text/xml"
JSON = "application/x-amz-json-1.1"
_REQUEST_ID = "5ea1fab5-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    at      at the n-th call that the next two let through, from 1
    action  count calls of this action alone
    writes  count calls alone that change something
    reads   count calls alone that do not
    each    not one call: every call meets it in the first run that makes it; see `Proxy.next_run`. Those calls are the
            same that ask the same ("call"), or that are of one action ("action")
    words   count calls alone that say this: parameters of the request
    times   so often: the following calls of the same action meet it too, which are the client's own retries
    code, message, status  what `refuse` says: an error of the test's own
    seconds for `slow`

    lose_answer  AWS does it, and the connection closes before the answer
    slow         AWS does it, and its answer comes late
    cut          the connection closes, and AWS knows of nothing
    throttle     RequestLimitExceeded, or what the service calls it
    capacity     InsufficientInstanceCapacity
    error500     an internal error; nothing is done
    """

    kind: Kind
    at: int = 1
    action: str | None = None
    writes: bool = False
    reads: bool = False
    each: Literal["", "call", "action"] = ""
    times: int = 1
    words: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 30.0
    code: str = ""
    message: str = ""
    status: int = 400


_THROTTLE = {
    "ec2": (503, "RequestLimitExceeded", "Request limit exceeded."),
    "s3": (503, "SlowDown", "Please reduce your request rate."),
    "ssm": (400, "ThrottlingException", "Rate exceeded"),
}
_BROKEN = {
    "ec2": (500, "InternalError", "An internal error has occurred"),
    "s3": (500, "InternalError", "We encountered an internal error. Please try again."),
    "iam": (500, "ServiceFailure", "The request processing has failed because of an unknown error."),
    "ssm": (500, "InternalServerError", "An error occurred on the server side."),
}
_CAPACITY = (
    500,
    "InsufficientInstanceCapacity",
    "We currently do not have sufficient capacity in the Availability Zone you requested. Our system will be working "
    "on provisioning additional capacity.",
)


def answer(fault: Fault, service: str) -> tuple[int, str, bytes]:
    """Status, content type and body of a fault that is an answer."""
    if fault.kind == "throttle":
        status, code, message = _THROTTLE.get(service, (400, "Throttling", "Rate exceeded"))
    elif fault.kind == "error500":
        status, code, message = _BROKEN.get(service, (500, "InternalFailure", "The request processing has failed."))
    elif fault.kind == "capacity":
        status, code, message = _CAPACITY
    else:
        status, code, message = fault.status, fault.code, fault.message
    return status, *error_body(service, code, message)


def error_body(service: str, code: str, message: str) -> tuple[str, bytes]:
    """Content type and body of an error as the protocol of a service has it."""
    inner = f"<Code>{code}</Code><Message>{escape(message)}</Message>"
    if service == "ec2":
        text = f"<Response><Errors><Error>{inner}</Error></Errors><RequestID>{_REQUEST_ID}</RequestID></Response>"
    elif service == "s3":
        text = f"<Error>{inner}<RequestId>{_REQUEST_ID}</RequestId></Error>"
    elif service in ("iam", "sts", "route53"):
        error = f"<Error><Type>Sender</Type>{inner}</Error>"
        text = f"<ErrorResponse>{error}<RequestId>{_REQUEST_ID}</RequestId></ErrorResponse>"
    else:
        return JSON, json.dumps({"__type": code, "message": message}).encode()
    return XML, f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode()
