"""Our table of images in the place of moto's, which ends years ago; root device and size as the image has them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from moto.ec2.models.amis import Ami, AmiBackend

from .. import amis


def _load(self: Any) -> None:
    for image in amis.images():
        found = Ami(
            self,
            image.id(self.region_name),
            name=image.name,
            description=image.name,
            owner_id=image.owner,
            # AWS gives this alias to the publishers that it has verified.
            owner_alias=None if image.owner == amis.STRANGER else "amazon",
            public=True,
            virtualization_type="hvm",
            architecture=image.architecture,
            creation_date=datetime.strptime(image.date, "%Y%m%d"),
            hypervisor="xen",
            root_device_type="ebs",
            root_device_name=image.root,
            sriov="simple",
            # Of the region, whatever it is: moto makes a snapshot of a volume in it.
            region_name=f"{self.region_name}a",
        )
        found.ebs_snapshot.volume.size = image.size
        self.amis[found.id] = found


def _block_device_mappings(self: Any) -> list[dict[str, Any]]:
    volume = {"SnapshotId": self.ebs_snapshot.id, "VolumeSize": self.ebs_snapshot.volume.size}
    kind = {"DeleteOnTermination": True, "VolumeType": "gp3", "Encrypted": False}
    return [{"DeviceName": self.root_device_name, "Ebs": {**volume, **kind}}]


def apply() -> None:
    AmiBackend._load_amis = _load  # type: ignore[method-assign]
    Ami.block_device_mappings = property(_block_device_mappings)  # type: ignore[method-assign,assignment]
