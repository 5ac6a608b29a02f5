# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of this package. Private to this collection."""

from __future__ import annotations


class PlanError(Exception):
    """What was given cannot be planned with: no model configuration, no GPUs, no catalogue entry."""
