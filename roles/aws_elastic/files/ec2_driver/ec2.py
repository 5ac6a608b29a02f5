# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls of EC2, and nothing that decides."""

from __future__ import annotations

import os
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any, Protocol, TypeVar

from .classify import HINTS, classify
from .model import PERMANENT, TAG_CLUSTER, TAG_NODE, THROTTLED, DriverError, Instance, Settings, Template

PAGE = 100
T = TypeVar("T")


class Cloud(Protocol):
    """What the commands need of EC2."""

    def instances(self) -> list[Instance]: ...

    def template(self, name: str) -> Template: ...

    def launch(self, arguments: dict[str, Any]) -> Instance: ...

    def start(self, ids: Sequence[str]) -> None: ...

    def stop(self, ids: Sequence[str]) -> None: ...

    def terminate(self, ids: Sequence[str]) -> None: ...


def only_the_instance_profile(environment: MutableMapping[str, str], metadata_url: str) -> None:
    """Leave the SDK no other source of credentials or settings than the metadata service and this driver's request."""
    for name in [name for name in environment if name.startswith("AWS_") and name != "AWS_CA_BUNDLE"]:
        del environment[name]
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "BOTO_CONFIG"):
        environment[name] = os.devnull
    environment["AWS_METADATA_SERVICE_TIMEOUT"] = "2"
    environment["AWS_METADATA_SERVICE_NUM_ATTEMPTS"] = "3"
    if metadata_url:
        environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = metadata_url


def read_instance(found: dict[str, Any]) -> Instance:
    """An instance from EC2's description of it."""
    tags = {one["Key"]: one["Value"] for one in found.get("Tags", [])}
    return Instance(
        id=found["InstanceId"],
        node=tags.get(TAG_NODE, ""),
        state=found["State"]["Name"],
        address=found.get("PrivateIpAddress") or "",
        launched=found["LaunchTime"].timestamp(),
        spot=found.get("InstanceLifecycle") == "spot",
        reason=(found.get("StateReason") or {}).get("Code") or "",
        token=found.get("ClientToken") or "",
    )


class Ec2:
    """EC2 through the SDK, whose adaptive retries slow down all calls of this process together."""

    def __init__(self, cluster: str, settings: Settings) -> None:
        only_the_instance_profile(os.environ, settings.metadata_url)
        try:
            import boto3
            from botocore import config, exceptions
        except ImportError as error:
            words = f"{error}; the role aws_elastic installs the distribution's python3-boto3"
            raise DriverError(PERMANENT, words) from error
        self._cluster = cluster
        self._refusal, self._fault = exceptions.ClientError, exceptions.BotoCoreError
        self._wrong = exceptions.ParamValidationError
        self._client = boto3.session.Session(region_name=settings.region).client(
            "ec2",
            endpoint_url=settings.endpoint_url or None,
            config=config.Config(
                retries={"mode": "adaptive", "total_max_attempts": settings.attempts},
                connect_timeout=5,
                read_timeout=30,
                max_pool_connections=settings.workers + 1,
                user_agent_extra="llmops-cluster",
            ),
        )

    def _call(self, what: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except self._refusal as error:
            found = error.response.get("Error", {})
            code = str(found.get("Code", ""))
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400))
            kind, elsewhere = classify(code, status)
            hint = f" ({HINTS[code]})" if code in HINTS else ""
            # What EC2 says of a lacking permission goes on for a page in a code of its own.
            words = " ".join(str(found.get("Message", "")).split())[:200]
            raise DriverError(kind, f"{code}{hint}: {what}: {words}", elsewhere, code) from error
        except self._wrong as error:
            raise DriverError(PERMANENT, f"{what}: {error}"[:300]) from error
        except self._fault as error:
            # No answer, no name, no credentials: all of it may come.
            raise DriverError(THROTTLED, f"{what}: {type(error).__name__}: {error}"[:300]) from error

    def instances(self) -> list[Instance]:
        """Everything elastic of this cluster; a part is never returned."""
        filters = [
            {"Name": f"tag:{TAG_CLUSTER}", "Values": [self._cluster]},
            {"Name": "tag-key", "Values": [TAG_NODE]},
        ]
        pages = self._client.get_paginator("describe_instances").paginate(
            Filters=filters, PaginationConfig={"PageSize": PAGE}
        )
        return self._call("DescribeInstances", lambda: [one for page in pages for one in _read(page)])

    def template(self, name: str) -> Template:
        """The default version, by its number: what is tried again is the same."""
        answer = self._call(
            "DescribeLaunchTemplateVersions",
            lambda: self._client.describe_launch_template_versions(LaunchTemplateName=name, Versions=["$Default"]),
        )
        found = answer["LaunchTemplateVersions"][0]
        interfaces = tuple(found["LaunchTemplateData"].get("NetworkInterfaces", []))
        return Template(name, str(found["VersionNumber"]), interfaces)

    def launch(self, arguments: dict[str, Any]) -> Instance:
        return _read({"Reservations": [self._call("RunInstances", lambda: self._client.run_instances(**arguments))]})[0]

    def start(self, ids: Sequence[str]) -> None:
        self._call("StartInstances", lambda: self._client.start_instances(InstanceIds=list(ids)))

    def stop(self, ids: Sequence[str]) -> None:
        self._call("StopInstances", lambda: self._client.stop_instances(InstanceIds=list(ids)))

    def terminate(self, ids: Sequence[str]) -> None:
        self._call("TerminateInstances", lambda: self._client.terminate_instances(InstanceIds=list(ids)))


def _read(page: dict[str, Any]) -> list[Instance]:
    return [read_instance(one) for group in page["Reservations"] for one in group["Instances"]]
