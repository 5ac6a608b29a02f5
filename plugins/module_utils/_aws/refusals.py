# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Codes with which EC2 refuses a call. The one table of them.

Names: "Error codes for the Amazon EC2 API" in the Amazon EC2 API reference, as of 2026; of throttling, those that
botocore knows too. The role aws_elastic installs this file beside its driver, so it imports nothing.
"""

from __future__ import annotations

# There is none now, or the account may have no more now: another type or subnet may do, and later the same one.
FULL = (
    *("InsufficientInstanceCapacity", "InsufficientHostCapacity", "InsufficientCapacity", "InsufficientVolumeCapacity"),
    *("InsufficientReservedInstanceCapacity", "ReservationCapacityExceeded"),
    *("InsufficientFreeAddressesInSubnet", "InsufficientAddressCapacity"),
    *("SpotMaxPriceTooLow", "MaxSpotInstanceCountExceeded"),
    *("VcpuLimitExceeded", "InstanceLimitExceeded", "VolumeLimitExceeded", "MaxIOPSLimitExceeded"),
    # The instance of this token was made, and is gone again.
    "IdempotentInstanceTerminated",
)
# A type that a zone does not have at all.
NOT_OFFERED = ("Unsupported",)
# Of no use here, maybe of use in another place: that, or what the template says cannot be done with this type.
NOT_HERE = (*NOT_OFFERED, "UnsupportedOperation", "InvalidSubnetID.NotFound", "InvalidParameterCombination")
TOO_OFTEN = (
    *("RequestLimitExceeded", "Throttling", "ThrottlingException", "EC2ThrottledException", "RequestThrottled"),
    *("ThrottledException", "BandwidthLimitExceeded"),
)
# That, a fault of the service, or something that is about to be another way.
PASSING = (
    *TOO_OFTEN,
    *("InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable"),
    *("IncorrectInstanceState", "IncorrectState", "ConcurrentTagAccess", "InvalidInstanceID.NotFound"),
    # The instance of this token exists, made by an earlier version of the driver: the next look finds it.
    "IdempotentParameterMismatch",
)
