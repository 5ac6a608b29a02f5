# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of engines and the key to them: what may be used, and what is wrong with the rest. Pure."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

# What a header can carry: anything else would end in an exception that quotes the key.
_KEY = re.compile(r"[\x21-\x7e]+")
_PATH = re.compile(r"[\x21-\x7e]*")


def base_url(url: str | None, host: str | None, port: int | None) -> str:
    """The address without `/v1` and without a slash at its end."""
    if url is not None:
        return url.rstrip("/").removesuffix("/v1").rstrip("/")
    # A literal IPv6 address needs brackets.
    shown = f"[{host}]" if host and ":" in host else host
    return f"http://{shown}:{port}"


def url_problem(url: str) -> str | None:
    """Why this is no address of an engine, or None."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        # As the resolver will do it: an empty or overlong label is an exception there.
        (parts.hostname or "").encode("idna")
    except (ValueError, UnicodeError):
        usable = False
    if not usable or parts.username is not None or parts.password is not None:
        return "must give an http or https address without user or password, like http://gpu1:8000"
    if parts.query or parts.fragment or not _PATH.fullmatch(parts.path):
        return "must be a base address without a query, a fragment or blanks, like http://gpu1:8000"
    return None


def key_problem(key: str) -> str | None:
    if not key:
        return "it is empty. Put the key into it"
    if not _KEY.fullmatch(key):
        return "it holds blanks, line breaks or other characters that no key has. Give the bare key, on one line"
    return None


def without_secrets(url: str) -> str:
    """An address that somebody else names, fit to be shown: no login, no query, not long."""
    try:
        parts = urlsplit(url)
        place = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
    except ValueError:
        return "an unreadable address"
    shown = parts.path if not parts.netloc else place + parts.path
    return "".join(letter if letter.isprintable() else "?" for letter in shown)[:200]
