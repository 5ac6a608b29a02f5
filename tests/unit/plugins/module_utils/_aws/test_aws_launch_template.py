"""A launch template has the data that it shall have, and nobody else's is deleted."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._aws.launch_template import (
    ForeignTemplateError,
    Found,
    absent,
    normal,
    present,
)

DATA = {
    "InstanceType": "g6.2xlarge",
    "NetworkInterfaces": [{"DeviceIndex": 0, "Groups": ["sg-1", "sg-2"]}],
    "TagSpecifications": [
        {"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]}
    ],
}
TAGS = {"llmops-cluster": "demo"}


class FakeEc2:
    """One template, or none."""

    def __init__(self, found: Found | None = None) -> None:
        self.found = found
        self.calls: list[str] = []

    def find(self, name: str) -> Found | None:
        return self.found

    def create(self, name: str, data: dict[str, Any], tags: dict[str, str]) -> Found:
        self.calls.append("create")
        self.found = Found("lt-1", 1, data, tags)
        return self.found

    def add_version(self, template_id: str, data: dict[str, Any]) -> int:
        self.calls.append("add_version")
        assert self.found
        self.found = self.found._replace(version=self.found.version + 1, data=data)
        return self.found.version

    def set_tags(self, template_id: str, tags: dict[str, str]) -> None:
        self.calls.append(f"set_tags {tags}")
        assert self.found
        self.found = self.found._replace(tags={**self.found.tags, **tags})

    def delete(self, template_id: str) -> None:
        self.calls.append("delete")
        self.found = None


def test_made_once() -> None:
    ec2 = FakeEc2()
    assert present(ec2, "demo-gpu", DATA, TAGS, check_mode=True).changes.names
    assert ec2.calls == []
    made = present(ec2, "demo-gpu", DATA, TAGS, check_mode=False)
    assert (made.template_id, made.version) == ("lt-1", 1)
    again = present(ec2, "demo-gpu", DATA, TAGS, check_mode=False)
    assert again.changes.empty
    assert ec2.calls == ["create"]


def test_the_order_of_tags_and_groups_is_no_difference() -> None:
    turned = copy.deepcopy(DATA)
    turned["TagSpecifications"][0]["Tags"].reverse()  # type: ignore[index]
    turned["NetworkInterfaces"][0]["Groups"].reverse()  # type: ignore[index]
    assert normal(turned) == normal(DATA)
    assert present(FakeEc2(Found("lt-1", 4, turned, TAGS)), "demo-gpu", DATA, TAGS, check_mode=False).changes.empty


def test_other_data_are_a_new_version_and_the_diff_names_them_alone() -> None:
    ec2 = FakeEc2(Found("lt-1", 1, {**DATA, "InstanceType": "g5.xlarge"}, TAGS))
    outcome = present(ec2, "demo-gpu", DATA, TAGS, check_mode=False)
    assert outcome.version == 2
    assert outcome.changes.before_after() == {
        "before": {"InstanceType": "g5.xlarge"},
        "after": {"InstanceType": "g6.2xlarge"},
    }


def test_missing_tags_are_added_without_a_new_version() -> None:
    ec2 = FakeEc2(Found("lt-1", 1, DATA, {"owner": "me"}))
    assert present(ec2, "demo-gpu", DATA, TAGS, check_mode=False).version == 1
    assert ec2.calls == ["set_tags {'llmops-cluster': 'demo'}"]
    assert ec2.found
    assert ec2.found.tags == {"owner": "me", "llmops-cluster": "demo"}


def test_absent_takes_ours_alone() -> None:
    ec2 = FakeEc2(Found("lt-1", 1, DATA, {"llmops-cluster": "other"}))
    with pytest.raises(ForeignTemplateError, match="belongs to somebody else"):
        absent(ec2, "demo-gpu", TAGS, check_mode=False)
    assert ec2.calls == []
    ec2 = FakeEc2(Found("lt-1", 1, DATA, TAGS))
    assert not absent(ec2, "demo-gpu", TAGS, check_mode=True).changes.empty
    assert ec2.calls == []
    absent(ec2, "demo-gpu", TAGS, check_mode=False)
    assert absent(ec2, "demo-gpu", TAGS, check_mode=False).changes.empty
    assert ec2.calls == ["delete"]
