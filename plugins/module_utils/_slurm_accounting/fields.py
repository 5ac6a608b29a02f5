# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be said of a QOS, an account, a user and an association, as data: our names and Slurm's."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting import values
from ansible_collections.llmops.cluster.plugins.module_utils._slurm_accounting.values import Kind


class _Untouched:
    """The default of what a purge leaves alone."""


UNTOUCHED: t.Final = _Untouched()


@dataclass(frozen=True)
class Attribute:
    """One thing that can be said.

    `slurm` is the name that sacctmgr sets, `shown` the one it prints where that differs. `default` is what Slurm has
    when nothing is said, and what a purge puts back.
    """

    name: str
    slurm: str
    kind: Kind
    default: t.Any = field(default=None)
    shown: str = ""
    limit: bool = False

    @property
    def column(self) -> str:
        return self.shown or self.slurm


def _limit(name: str, slurm: str, kind: Kind, shown: str = "") -> Attribute:
    return Attribute(name, slurm, kind, {} if kind is values.TRES else None, shown, limit=True)


_SHARED_LIMITS = (
    _limit("grp_jobs", "GrpJobs", values.COUNT),
    _limit("grp_jobs_accrue", "GrpJobsAccrue", values.COUNT),
    _limit("grp_submit_jobs", "GrpSubmitJobs", values.COUNT),
    _limit("grp_tres", "GrpTRES", values.TRES),
    _limit("grp_tres_mins", "GrpTRESMins", values.TRES),
    _limit("grp_tres_run_mins", "GrpTRESRunMins", values.TRES),
    _limit("grp_wall", "GrpWall", values.MINUTES),
    _limit("max_tres_mins_per_job", "MaxTRESMinsPerJob", values.TRES),
    _limit("max_tres_per_job", "MaxTRESPerJob", values.TRES),
    _limit("max_tres_per_node", "MaxTRESPerNode", values.TRES),
    _limit("max_wall", "MaxWallDurationPerJob", values.MINUTES),
)

QOS = (
    Attribute("description", "Description", values.TEXT, UNTOUCHED),
    Attribute("priority", "Priority", values.NUMBER, 0),
    Attribute("flags", "Flags", values.NAME_FLAGS, ()),
    Attribute("preempt", "Preempt", values.NAMES, ()),
    Attribute("preempt_mode", "PreemptMode", values.PREEMPT_MODE, ("cluster",)),
    Attribute("preempt_exempt_time", "PreemptExemptTime", values.SECONDS, None),
    Attribute("grace_time", "GraceTime", values.GRACE, 0),
    Attribute("usage_factor", "UsageFactor", values.USAGE_FACTOR, 1.0),
    Attribute("usage_threshold", "UsageThreshold", values.FACTOR, None),
    Attribute("limit_factor", "LimitFactor", values.FACTOR, None),
    *_SHARED_LIMITS,
    _limit("max_jobs_accrue_per_account", "MaxJobsAccruePerAccount", values.COUNT),
    _limit("max_jobs_accrue_per_user", "MaxJobsAccruePerUser", values.COUNT),
    _limit("max_jobs_per_account", "MaxJobsPerAccount", values.COUNT),
    _limit("max_jobs_per_user", "MaxJobsPerUser", values.COUNT),
    _limit("max_submit_jobs_per_account", "MaxSubmitJobsPerAccount", values.COUNT),
    _limit("max_submit_jobs_per_user", "MaxSubmitJobsPerUser", values.COUNT),
    _limit("max_tres_per_account", "MaxTRESPerAccount", values.TRES),
    _limit("max_tres_per_user", "MaxTRESPerUser", values.TRES),
    _limit("max_tres_run_mins_per_account", "MaxTRESRunMinsPerAccount", values.TRES),
    _limit("max_tres_run_mins_per_user", "MaxTRESRunMinsPerUser", values.TRES),
    # The longer name of the manual is not taken.
    _limit("min_prio_threshold", "MinPrioThres", values.COUNT),
    _limit("min_tres_per_job", "MinTRESPerJob", values.TRES),
)

ASSOCIATION = (
    Attribute("fairshare", "Fairshare", values.FAIRSHARE, 1),
    Attribute("priority", "Priority", values.COUNT, None),
    # The list before the default, which must be in it.
    Attribute("qos", "QOS", values.NAMES, ()),
    Attribute("default_qos", "DefaultQOS", values.NAME, None),
    *_SHARED_LIMITS,
    _limit("max_jobs", "MaxJobs", values.COUNT),
    _limit("max_jobs_accrue", "MaxJobsAccrue", values.COUNT),
    _limit("max_submit_jobs", "MaxSubmitJobs", values.COUNT),
)

ACCOUNT = (
    Attribute("description", "Description", values.TEXT, UNTOUCHED),
    Attribute("organization", "Organization", values.TEXT, UNTOUCHED),
    Attribute("parent", "Parent", values.ACCOUNT, "root"),
    *ASSOCIATION,
)

USER = (
    Attribute("default_account", "DefaultAccount", values.ACCOUNT, UNTOUCHED),
    Attribute("admin_level", "AdminLevel", values.ADMIN_LEVEL, "None"),
)

OF_KIND: t.Final = {"qos": QOS, "account": ACCOUNT, "user": USER, "association": ASSOCIATION}
