"""The one error of the lab: a message for a person, without a traceback."""

from __future__ import annotations


class LabError(Exception):
    """Says what was tried, on what, why it failed and what to do."""
