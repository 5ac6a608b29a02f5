# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of the model catalogue. Private to this collection."""

from __future__ import annotations


class CatalogueError(Exception):
    """The catalogue, or the site it is rendered for, cannot be used as it stands."""


class NotInThisReleaseError(CatalogueError):
    """The entry is well formed, but asks for something this release cannot run."""
