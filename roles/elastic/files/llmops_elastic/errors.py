# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error of this package: a message for a person."""

from __future__ import annotations


class ElasticError(Exception):
    """Says what was tried, on what, why it failed and what to do."""
