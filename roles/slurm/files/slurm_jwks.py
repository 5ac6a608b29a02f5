# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep the keys of auth/slurm: slurm_jwks.py FILE make|stage|promote|status. Prints `changed` when it changed the file.

make     a file with one key, unless there is one
stage    adds the next key: every daemon accepts it, none signs with it yet
promote  the staged key signs from now on; the one before is still accepted, for jobs that began under it
status   the number of keys and whether one is staged; never a key

Order is meaning: the default key (Slurm's "use") is the one that signs, keys before it are older, one after it is
staged. Runs on the controller alone, so that a key reaches neither a command line nor the control machine's disk.
A file of keys and not Slurm's single slurm.key: that has no key id, so no job that began under it could be told apart.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import secrets
import time
from pathlib import Path
from typing import Any

Key = dict[str, Any]


def new_key(secret: bytes, now: int) -> Key:
    """Slurm ignores fields that it does not know: `iat` says since when a key is there or signs."""
    return {
        "alg": "HS256",
        "kty": "oct",
        "kid": f"llmops-{now}-{secret[:2].hex()}",
        "k": base64.urlsafe_b64encode(secret).decode(),
        "iat": now,
    }


def signing(keys: list[Key]) -> int:
    """Place of the key that signs; Slurm takes the first when none says so."""
    return next((place for place, key in enumerate(keys) if key.get("use") == "default"), 0)


def staged(keys: list[Key]) -> bool:
    return signing(keys) < len(keys) - 1


def stage(keys: list[Key], key: Key, oldest_job: int | None) -> list[Key]:
    """With the next key, unless there is one; without older keys under which no job can have begun.

    `oldest_job` is when the job that runs longest began, None when no job runs.
    """
    if staged(keys):
        return keys
    now_signs = keys[signing(keys)]
    needed = oldest_job is not None and oldest_job <= now_signs["iat"]
    return (keys[:-1] if needed else []) + [now_signs, key]


def promote(keys: list[Key], now: int) -> list[Key]:
    """The staged key signs."""
    if not staged(keys):
        return keys
    place = signing(keys)
    before = [{name: value for name, value in key.items() if name != "use"} for key in keys[: place + 1]]
    return [*before, {**keys[place + 1], "use": "default", "iat": now}]


def write(path: Path, keys: list[Key]) -> None:
    """Beside its place and renamed: a killed run leaves no half file."""
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"keys": keys}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    if path.exists():
        os.chown(partial, path.stat().st_uid, path.stat().st_gid)
    partial.rename(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("action", choices=["make", "stage", "promote", "status"])
    parser.add_argument("--oldest-job", type=int, help="when the job that runs longest began, in seconds since 1970")
    wanted = parser.parse_args()
    now = int(time.time())
    keys = json.loads(wanted.file.read_text())["keys"] if wanted.file.exists() else []
    if wanted.action == "status":
        print(json.dumps({"keys": len(keys), "staged": bool(keys) and staged(keys)}))
        return
    fresh = new_key(secrets.token_bytes(64), now)
    if wanted.action == "make":
        result = keys or [{**fresh, "use": "default"}]
    elif wanted.action == "stage":
        result = stage(keys, fresh, wanted.oldest_job)
    else:
        result = promote(keys, now)
    if result != keys:
        write(wanted.file, result)
        print("changed")


if __name__ == "__main__":
    main()
