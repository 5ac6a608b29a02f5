"""The patterns by which images are looked up find one family each, the newest, and none of its neighbours."""

from __future__ import annotations

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._aws.images import IMAGES, newest

from .account import Account
from .amis import login_user


@pytest.mark.parametrize("name", [name for name in IMAGES if not name.startswith("rocky")])
def test_a_family_has_a_newest_image(account: Account, name: str) -> None:
    image = IMAGES[name]
    filters = [{"Name": "name", "Values": [image.name]}, {"Name": "architecture", "Values": ["x86_64"]}]
    found = account.client("ec2").describe_images(Owners=[image.owner], Filters=filters)["Images"]
    assert found, f"no image is named {image.name}"
    words = ("beta", "minimal", "backports", "access", "arm64", "sid")
    wrong = [one["Name"] for one in found if any(word in one["Name"].lower() for word in words)]
    assert wrong == []
    assert {login_user(one["Name"]) for one in found} == {image.user}
    latest = newest([{"image_id": one["ImageId"], "creation_date": one["CreationDate"]} for one in found])
    assert latest
    assert latest["creation_date"] == max(one["CreationDate"] for one in found)
