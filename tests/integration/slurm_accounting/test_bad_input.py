"""Accounts that cannot be are refused by the role before any host is touched."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cluster import Cluster


@pytest.mark.parametrize(
    ("given", "says"),
    [
        pytest.param(
            {"slurm_accounts": [{"name": "a", "parent": "b"}, {"name": "b", "parent": "a"}]},
            "slurm_accounts[0] (a): its parents make a circle: a -> b -> a.",
            id="circle",
        ),
        pytest.param(
            {"slurm_accounts": [{"name": "a", "parent": "nowhere"}]},
            "slurm_accounts[0] (a): parent is 'nowhere', which is no declared account.",
            id="unknown parent",
        ),
        pytest.param(
            {"slurm_users": [{"name": "eve"}]},
            "slurm_users[0] (eve): it has no account, so it could run nothing.",
            id="user without account",
        ),
        pytest.param(
            {"slurm_accounts": [{"name": "a", "limits": {"grp_trs": {"cpu": 1}}}]},
            "slurm_accounts[0] (a): 'grp_trs' is an unknown limit. Did you mean 'grp_tres'?",
            id="unknown limit",
        ),
        pytest.param(
            {"slurm_qos": [{"name": "q"}, {"name": "q"}]},
            "slurm_qos[1] (q): the qos q is declared twice, first as slurm_qos[0] (q).",
            id="duplicate name",
        ),
        pytest.param({"slurm_accounts": [{"parent": "root"}]}, "slurm_accounts[0]: name is ''", id="no name"),
    ],
)
def test_refused_before_any_host(site: Cluster, given: dict[str, Any], says: str) -> None:
    play = site.play("site.yml", "-e", json.dumps(given))
    assert play.rc != 0
    assert says in play.words, play.output[-3000:]
    assert "Gathering Facts" not in play.output, "a host was touched"
