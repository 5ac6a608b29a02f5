# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SSH host keys from what cloud-init prints on the console of an instance."""

from __future__ import annotations

import re

_BLOCK = re.compile(r"-----BEGIN SSH HOST KEY KEYS-----(.*?)-----END SSH HOST KEY KEYS-----", re.DOTALL)
_KEY = re.compile(r"(ssh-ed25519|ecdsa-sha2-nistp256|ssh-rsa) ([A-Za-z0-9+/]+={0,2})")
# The first that there is: a tag holds 256 characters, which an RSA key is longer than.
_WANTED = ("ssh-ed25519", "ecdsa-sha2-nistp256")


def host_key(text: str) -> str:
    """The public key of the last boot that printed one, as known_hosts has it; nothing while there is none."""
    blocks = _BLOCK.findall(text)
    keys = {kind: f"{kind} {key}" for kind, key in _KEY.findall(blocks[-1])} if blocks else {}
    return next((keys[kind] for kind in _WANTED if kind in keys), "")
