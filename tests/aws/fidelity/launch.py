"""RunInstances as AWS does it.

moto takes the first count for the last, forgets termination protection, the placement group, throughput and IOPS of
volumes, the kind of an interface and, of a launch template, most; it gives the profile to the first instance alone,
every image the same root device, and checks neither the zone nor the architecture of an instance type. An instance with
an interface of its own cannot be terminated twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS, INSTANCE_TYPES
from moto.ec2.models.instances import Instance
from moto.ec2.responses import EC2Response

from .account import extra, refuse, wrap
from .tokens import once

GP3_IOPS, GP3_THROUGHPUT = 3000, 125
# Called with the instances that were made, after AWS would have answered for them.
LaunchHook = Callable[[list[Any]], None]
_hooks: list[LaunchHook] = []


def after_launch(hook: LaunchHook) -> None:
    _hooks.append(hook)


def _run(original: Callable[..., Any]) -> Callable[..., Any]:
    def run_instances(self: Any) -> ActionResult:
        template_tags = _merge_template(self)
        _check(self)
        self.params["MinCount"] = self._get_param("MaxCount", 1)
        result: ActionResult = original(self)
        reservation: Any = result.result
        for instance in reservation.instances:
            _complete(self, instance)
            instance.add_tags(template_tags)
        for hook in _hooks:
            hook(reservation.instances)
        return result

    return run_instances


def _merge_template(self: Any) -> dict[str, str]:
    """What the request does not say itself comes from the template, as AWS does; moto then sees no template."""
    named = self.params.pop("LaunchTemplate", None)
    if not named:
        return {}
    version = self.ec2_backend._get_template_from_args(named)
    data = {key: value for key, value in version.data.items() if value is not None}
    own = data.pop("TagSpecifications", [])
    merged = {**data, **self.params}
    tags: dict[str, dict[str, str]] = {}
    for spec in [*own, *self.params.get("TagSpecifications", [])]:
        tags.setdefault(spec["ResourceType"], {}).update({tag["Key"]: tag["Value"] for tag in spec["Tags"]})
    if tags:
        merged["TagSpecifications"] = [
            {"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in found.items()]}
            for kind, found in tags.items()
        ]
    if "SubnetId" in self.params and "NetworkInterfaces" in data and "NetworkInterfaces" not in self.params:
        merged["NetworkInterfaces"] = [
            {**one, "SubnetId": merged.pop("SubnetId")} for one in data["NetworkInterfaces"][:1]
        ]
    self.params.clear()
    self.params.update(merged)
    return {
        "aws:ec2launchtemplate:id": version.template.id,
        "aws:ec2launchtemplate:version": str(version.number),
    }


def _check(self: Any) -> None:
    backend, kind = self.ec2_backend, self._get_param("InstanceType", "m1.small")
    if kind not in INSTANCE_TYPES:
        refuse("InvalidParameterValue", f"Invalid value '{kind}' for InstanceType.")
    _check_zone(self, kind)
    images = backend.describe_images(filters={"image-id": [self._get_param("ImageId")]})
    wanted = INSTANCE_TYPES.get(kind, {}).get("ProcessorInfo", {}).get("SupportedArchitectures", [])
    if images and wanted and images[0].architecture not in wanted:
        refuse(
            "InvalidParameterValue",
            f"The architecture '{'/'.join(wanted)}' of the specified instance type does not match the architecture "
            f"'{images[0].architecture}' of the specified AMI.",
        )
    group = self._get_param("Placement.GroupName")
    if group and group not in extra(backend).placement_groups:
        refuse("InvalidPlacementGroup.Unknown", f"The Placement Group '{group}' is unknown.")
    cards = INSTANCE_TYPES.get(kind, {}).get("NetworkInfo", {}).get("EfaSupported", False)
    if not cards and any(nic.get("InterfaceType") == "efa" for nic in self._get_param("NetworkInterfaces", [])):
        refuse("InvalidParameterCombination", f"EFA interfaces are not supported on {kind}.")
    _check_root(self, images)


def _check_zone(self: Any, kind: str) -> None:
    nics = self._get_param("NetworkInterfaces", [])
    subnet_id = self._get_param("SubnetId") or next((nic["SubnetId"] for nic in nics if "SubnetId" in nic), None)
    if not subnet_id:
        return
    subnet = self.ec2_backend.get_subnet(subnet_id)
    offered = INSTANCE_TYPE_OFFERINGS["availability-zone"].get(self.region, [])
    zones = sorted({one["Location"] for one in offered if one["InstanceType"] == kind})
    if zones and subnet.availability_zone not in zones:
        refuse(
            "Unsupported",
            f"Your requested instance type ({kind}) is not supported in your requested Availability Zone "
            f"({subnet.availability_zone}). Please retry your request by not specifying an Availability Zone or "
            f"choosing {', '.join(zones)}.",
        )


def _check_root(self: Any, images: list[Any]) -> None:
    """Root volume as the image has it, unless the request maps that device: with a wrong name there are two volumes."""
    if not images:
        return
    image = images[0]
    mappings = list(self._get_param("BlockDeviceMappings", []))
    size = image.ebs_snapshot.volume.size
    root = next((one for one in mappings if one["DeviceName"] == image.root_device_name), None)
    if root is None:
        ebs = {"VolumeSize": size, "VolumeType": "gp3", "DeleteOnTermination": True}
        mappings.insert(0, {"DeviceName": image.root_device_name, "Ebs": ebs})
    else:
        root["Ebs"] = {"VolumeSize": size, "DeleteOnTermination": True, **root.get("Ebs", {})}
        if root["Ebs"]["VolumeSize"] < size:
            refuse(
                "InvalidBlockDeviceMapping",
                f"Volume of size {root['Ebs']['VolumeSize']}GB is smaller than snapshot "
                f"'{image.ebs_snapshot.id}', expect size>= {size}GB",
            )
    for one in mappings:
        _check_volume(one.get("Ebs", {}))
    self.params["BlockDeviceMappings"] = mappings


def _check_volume(ebs: dict[str, Any]) -> None:
    throughput, iops = ebs.get("Throughput"), ebs.get("Iops") or GP3_IOPS
    if throughput and ebs.get("VolumeType") != "gp3":
        refuse("InvalidParameterDependency", f"The parameter Throughput is not supported for {ebs.get('VolumeType')}.")
    # AWS: 2000 MiB/s at most, and a quarter MiB/s for each of the IOPS.
    if throughput and throughput > min(2000, iops / 4):
        refuse(
            "InvalidParameterValue",
            f"Throughput (MiBps) to iops ratio of {throughput / iops:.6f} is too high; maximum is 0.250000.",
        )


def _complete(self: Any, instance: Any) -> None:
    instance.disable_api_termination = bool(self._get_param("DisableApiTermination", False))
    instance.placement.group_name = self._get_param("Placement.GroupName") or ""
    profile = {
        "iam_instance_profile_name": self._get_param("IamInstanceProfile.Name"),
        "iam_instance_profile_arn": self._get_param("IamInstanceProfile.Arn"),
    }
    associated = self.ec2_backend.iam_instance_profile_associations
    if any(profile.values()) and instance.id not in associated:
        self.ec2_backend.associate_iam_instance_profile(instance_id=instance.id, **profile)
    for mapping in self._get_param("BlockDeviceMappings", []):
        _complete_volume(self.ec2_backend, instance, mapping)
    tags = self._parse_tag_specification()
    for index, nic in enumerate(self._get_param("NetworkInterfaces", [])):
        made = instance.nics.get(int(nic.get("DeviceIndex", index)))
        if made:
            made.interface_type = nic.get("InterfaceType", "interface")
    # What an instance's groups are is what its first interface has.
    if not instance.security_groups and 0 in instance.nics:
        instance.security_groups = list(instance.nics[0].group_set)
    for made in instance.nics.values():
        made.delete_on_termination = True
        made.add_tags(tags.get("network-interface", {}))


def _complete_volume(backend: Any, instance: Any, mapping: dict[str, Any]) -> None:
    device = instance.block_device_mapping.get(mapping["DeviceName"])
    asked = mapping.get("Ebs", {})
    if not device or asked.get("VolumeType") != "gp3":
        return
    volume = backend.get_volume(device.volume_id)
    volume.iops = asked.get("Iops") or GP3_IOPS
    volume.throughput = asked.get("Throughput") or GP3_THROUGHPUT


def _terminate_once(original: Callable[..., Any]) -> Callable[..., Any]:
    def terminate(self: Any) -> Any:
        return self._state if self.state == "terminated" else original(self)

    return terminate


def apply() -> None:
    wrap(Instance, "terminate", _terminate_once)
    wrap(EC2Response, "run_instances", _run)
    # Around the rest: what is asked is compared before the template is merged into it.
    wrap(EC2Response, "run_instances", once("run_instances"))
