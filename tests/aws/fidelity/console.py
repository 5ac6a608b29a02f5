"""GetConsoleOutput with what cloud-init prints of an instance's SSH host keys."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from moto.core.responses import ActionResult
from moto.core.types import Base64EncodedString
from moto.core.utils import utcnow
from moto.ec2.responses import EC2Response

from .account import extra

KINDS = ("ecdsa", "ed25519")
_BEFORE = """[    0.000000] Linux version 6.1.0-40-cloud-amd64 (debian-kernel@lists.debian.org)
[    4.119321] cloud-init[611]: Cloud-init v. 22.4.2 running 'modules:final'. Up 9.97 seconds.
"""
_EDGE = "#############################################################"
# How long AWS takes to post what it shows without `Latest`.
POSTED_AFTER_SECONDS = 120
# Where a machine's keys come from: an answer of None says that nothing stands behind this instance but the table.
KeySource = Callable[[Any], list[str] | None]
_sources: list[KeySource] = []


def use_keys_of(source: KeySource) -> None:
    _sources.append(source)


def _made_up(backend: Any, instance: Any) -> list[str]:
    """Keys that stay with the instance; they are made when somebody asks first."""
    known = extra(backend).host_keys
    if instance.id not in known:
        with tempfile.TemporaryDirectory() as folder:
            for kind in KINDS:
                argv = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "root@instance", "-f", f"{folder}/{kind}"]
                subprocess.run(argv, check=True)
            known[instance.id] = [Path(folder, f"{kind}.pub").read_text().strip() for kind in KINDS]
    return known[instance.id]


def _keys(backend: Any, instance: Any) -> list[str]:
    for source in _sources:
        found = source(instance)
        if found is not None:
            return found
    return _made_up(backend, instance)


def text_of(keys: list[str]) -> str:
    """What cloud-init's final stage writes to the console; nothing of keys while the machine has none."""
    lines = _BEFORE.splitlines()
    if keys:
        prints = [_EDGE, "-----BEGIN SSH HOST KEY FINGERPRINTS-----", *map(_fingerprint, keys)]
        prints += ["-----END SSH HOST KEY FINGERPRINTS-----", _EDGE]
        lines += [f"<14>Nov 21 09:14:02 ec2: {line}" for line in prints]
        lines += ["-----BEGIN SSH HOST KEY KEYS-----", *keys, "-----END SSH HOST KEY KEYS-----"]
        lines += ["[   10.310012] cloud-init[611]: Cloud-init v. 22.4.2 finished."]
    return "".join(f"{line}\r\n" for line in lines)


def _fingerprint(key: str) -> str:
    kind, blob, *_ = key.split()
    digest = base64.b64encode(hashlib.sha256(base64.b64decode(blob)).digest()).decode().rstrip("=")
    return f"256 SHA256:{digest} root@instance ({'ECDSA' if 'ecdsa' in kind else 'ED25519'})"


def _get_console_output(self: Any) -> ActionResult:
    """Without `Latest` AWS shows what it posted of the last boot, and posts it minutes late."""
    instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
    self.error_on_dryrun()
    answer: dict[str, Any] = {"InstanceId": instance.id, "Timestamp": utcnow()}
    posted = (utcnow() - instance.launch_time).total_seconds() > POSTED_AFTER_SECONDS
    if posted or (self._get_bool_param("Latest", False) and instance.state == "running"):
        keys = _keys(self.ec2_backend, instance)
        answer["Output"] = Base64EncodedString.from_raw_string(text_of(keys))
    return ActionResult(answer)


def apply() -> None:
    EC2Response.get_console_output = _get_console_output  # type: ignore[method-assign]
