# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fingerprint of an OpenPGP key, without gpg, which a small host may not have. Pure. Private to this collection."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._nvidia.errors import NvidiaError

_ARMOUR: t.Final = re.compile(
    r"-----BEGIN PGP PUBLIC KEY BLOCK-----\s*\n(?:[A-Za-z]+: [^\n]*\n)*\s*(.*?)\n=[A-Za-z0-9+/]{4}\s*\n?"
    r"-----END PGP PUBLIC KEY BLOCK-----",
    re.DOTALL,
)
_PUBLIC_KEY: t.Final = 6


def _packets(data: bytes) -> t.Iterator[tuple[int, bytes]]:
    """The packets of a key: their tags and bodies (RFC 4880, section 4.2)."""
    place = 0
    while place < len(data):
        head = data[place]
        if not head & 0x80:
            raise NvidiaError("Reading an OpenPGP key failed: what it holds is no packet. Get the key again.")
        tag, size, length_of_size = _header(data, place, head)
        place += 1 + length_of_size
        yield tag, data[place : place + size]
        place += size


def _header(data: bytes, place: int, head: int) -> tuple[int, int, int]:
    rest = data[place + 1 : place + 6]
    if head & 0x40:
        if rest[:1] == b"\xff":
            return head & 0x3F, int.from_bytes(rest[1:5], "big"), 5
        if rest[0] < 192:
            return head & 0x3F, rest[0], 1
        if rest[0] < 224:
            return head & 0x3F, ((rest[0] - 192) << 8) + rest[1] + 192, 2
        raise NvidiaError("Reading an OpenPGP key failed: it is in parts, which keys never are. Get the key again.")
    width = 1 << (head & 3)
    if width > 4:
        raise NvidiaError("Reading an OpenPGP key failed: a packet has no length. Get the key again.")
    return (head >> 2) & 0x0F, int.from_bytes(rest[:width], "big"), width


def key_fingerprints(text: str) -> list[str]:
    """The fingerprints of the primary keys of an armoured file: SHA-1 over the packet (RFC 4880, section 12.2)."""
    blocks = _ARMOUR.findall(text.replace("\r\n", "\n"))
    if not blocks:
        line = text.strip().splitlines()[0][:60] if text.strip() else ""
        raise NvidiaError(
            f"Reading an OpenPGP key failed: no PUBLIC KEY BLOCK in what begins with {line!r}. Is the address right?"
        )
    found = []
    for block in blocks:
        try:
            data = base64.b64decode("".join(block.split()), validate=True)
        except binascii.Error as error:
            raise NvidiaError(f"Reading an OpenPGP key failed: {error}. Get the key again.") from error
        for tag, body in _packets(data):
            if tag == _PUBLIC_KEY:
                packet = b"\x99" + len(body).to_bytes(2, "big") + body
                # Not for security: it is what a fingerprint of this version is.
                found.append(hashlib.sha1(packet, usedforsecurity=False).hexdigest().upper())
    return found


def plain(fingerprint: str) -> str:
    """A fingerprint without the spaces that people read it by."""
    return re.sub(r"[^0-9A-F]", "", fingerprint.upper())


def key_faults(text: str, fingerprint: str) -> list[str]:
    """Why this is not the one key that was named."""
    found = key_fingerprints(text)
    if found == [plain(fingerprint)]:
        return []
    return [f"the key has the fingerprint {' and '.join(found) or 'of nothing'}, not {plain(fingerprint)}"]
