# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which refusal of EC2 is which of the contract's. The one table of it.

Names: "Error codes for the Amazon EC2 API" in the Amazon EC2 API reference, as of 2026; of throttling, those that
botocore knows too.
"""

from __future__ import annotations

from .model import CAPACITY, PERMANENT, THROTTLED

# There is none now, or the account may have no more now: another type or subnet may do, and later the same one.
_CAPACITY = (
    *("InsufficientInstanceCapacity", "InsufficientHostCapacity", "InsufficientCapacity", "InsufficientVolumeCapacity"),
    *("InsufficientReservedInstanceCapacity", "ReservationCapacityExceeded"),
    *("InsufficientFreeAddressesInSubnet", "InsufficientAddressCapacity"),
    *("SpotMaxPriceTooLow", "MaxSpotInstanceCountExceeded"),
    *("VcpuLimitExceeded", "InstanceLimitExceeded", "VolumeLimitExceeded", "MaxIOPSLimitExceeded"),
    # The instance of this token was made, and is gone again.
    "IdempotentInstanceTerminated",
)
TOO_OFTEN = (
    *("RequestLimitExceeded", "Throttling", "ThrottlingException", "EC2ThrottledException", "RequestThrottled"),
    *("ThrottledException", "BandwidthLimitExceeded"),
)
# That, a fault of the service, or something that is about to be another way.
_THROTTLED = (
    *TOO_OFTEN,
    *("InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable"),
    *("IncorrectInstanceState", "IncorrectState", "ConcurrentTagAccess", "InvalidInstanceID.NotFound"),
    # The instance of this token exists, made by an earlier version of this driver: the next look finds it.
    "IdempotentParameterMismatch",
)
# Of no use here, maybe of use in another place: the type is not offered there, or cannot do what the template says.
_NOT_HERE = (*("Unsupported", "UnsupportedOperation", "InvalidSubnetID.NotFound", "InvalidParameterCombination"),)
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
    if code in _CAPACITY:
        return CAPACITY, True
    if code in _THROTTLED or status >= 500:
        return THROTTLED, False
    return PERMANENT, code in _NOT_HERE


def ended_at_once(reason: str) -> str:
    """The kind of an instance that was accepted and terminated, from the code of its state reason."""
    return PERMANENT if reason.startswith("Client.") and "LimitExceeded" not in reason else CAPACITY
