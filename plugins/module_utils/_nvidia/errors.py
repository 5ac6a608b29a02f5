# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of reading what NVIDIA's programs print. Private to this collection."""

from __future__ import annotations


class NvidiaError(Exception):
    """What was given is not what it should be."""
