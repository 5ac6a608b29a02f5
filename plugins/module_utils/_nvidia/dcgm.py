# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What dcgmi says of a host. Pure. Private to this collection."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._nvidia.errors import NvidiaError

_COUNT: t.Final = re.compile(r"^(\d+) GPUs? found\.", re.MULTILINE)
_ROW: t.Final = re.compile(r"^\|([^|]*)\|(.*)\|?\s*$")
_SECTION: t.Final = re.compile(r"-{3,}\s+(.+?)\s+-{3,}")
_GPU_RESULT: t.Final = re.compile(r"(GPU\s?\d+): (.+)")


def parse_discovery(text: str) -> int:
    """How many GPUs `dcgmi discovery -l` lists."""
    found = _COUNT.search(text)
    if not found:
        line = next((line.strip() for line in text.splitlines() if line.strip()), "nothing")
        raise NvidiaError(
            f"Reading what dcgmi discovery -l printed failed: no number of GPUs in {line!r}. "
            "Look at the service nvidia-dcgm (journalctl -u nvidia-dcgm)."
        )
    return int(found[1])


def _cells(text: str) -> t.Iterator[tuple[str, str]]:
    for line in text.splitlines():
        row = _ROW.match(line.strip())
        if row:
            yield row[1].strip(), row[2].rstrip("|").strip()


def diag_faults(text: str) -> list[str]:
    """What `dcgmi diag` found wrong, a sentence for each test; a test that was skipped is no fault.

    DCGM 3 writes "Fail - GPU: 0" beside the name of a test, DCGM 4 "Fail" and then a row for each GPU. Rows that begin
    with Warning or Error, or go on without a name, tell more of the test before them.
    """
    faults: list[str] = []
    seen, details = False, ""
    for name, value in _cells(text):
        if _SECTION.search(name) or name in ("Diagnostic", ""):
            result = _GPU_RESULT.match(value) if not name else None
            if result and result[2].startswith("Fail") and faults:
                details = f"{result[1]}: {result[2]}"
                faults[-1] += f", {details}"
            continue
        seen = True
        if value.startswith("Fail"):
            faults.append(f"{name}: {value}")
        elif name in ("Warning", "Error") and faults:
            faults[-1] += f" ({value})"
    if not seen:
        line = next((line.strip() for line in text.splitlines() if line.strip()), "nothing")
        raise NvidiaError(f"Reading what dcgmi diag printed failed: no results in {line!r}.")
    return faults
