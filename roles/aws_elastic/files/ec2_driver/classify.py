# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which refusal of EC2 is which of the contract's. The codes are in refusals.py, the collection's table."""

from __future__ import annotations

from .model import CAPACITY, PERMANENT, THROTTLED
from .refusals import FULL, NOT_HERE, PASSING

HINTS = {
    "VcpuLimitExceeded": "the account's quota of vCPUs is used up; ask for more in Service Quotas",
    "MaxSpotInstanceCountExceeded": "the account's quota of spot vCPUs is used up; ask for more in Service Quotas",
    "UnauthorizedOperation": "the controller's instance profile lacks a permission (docs/aws-elastic.md)",
    "InvalidLaunchTemplateName.NotFoundException": "site.yml makes the template of each group",
    "AuthFailure.ServiceLinkedRoleCreationNotPermitted": (
        "once an account: aws iam create-service-linked-role --aws-service-name spot.amazonaws.com"
    ),
}
GONE = "InvalidInstanceID.NotFound"


def classify(code: str, status: int) -> tuple[str, bool]:
    """The kind of a refusal, and whether another place may do."""
    # An older error of the family may come with this in front.
    code = code.removeprefix("Client.").removeprefix("Server.")
    if code in FULL:
        return CAPACITY, True
    if code in PASSING or status >= 500:
        return THROTTLED, False
    return PERMANENT, code in NOT_HERE


def ended_at_once(reason: str) -> str:
    """The kind of an instance that was accepted and terminated, from the code of its state reason."""
    return PERMANENT if reason.startswith("Client.") and "LimitExceeded" not in reason else CAPACITY
