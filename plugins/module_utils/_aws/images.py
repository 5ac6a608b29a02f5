# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the newest machine image of a distribution is found: by its owner and name, never by an id."""

from __future__ import annotations

import typing as t


class Image(t.NamedTuple):
    """Who publishes an image, the pattern of its name, and the user that it lets in."""

    owner: str
    name: str
    user: str


# Owners: https://wiki.debian.org/Cloud/AmazonEC2Image, https://documentation.ubuntu.com/aws/aws-how-to/instances/find-ubuntu-images/,
# https://access.redhat.com/solutions/15356, https://rockylinux.org/download, https://docs.aws.amazon.com/linux/al2023/ug/ec2.html,
# https://docs.aws.amazon.com/dlami/latest/devguide/find-dlami-id.html
IMAGES: t.Final[dict[str, Image]] = {
    "rhel-10": Image("309956199498", "RHEL-10.*_HVM-*-x86_64-*-Hourly2-GP3", "ec2-user"),
    "rhel-9": Image("309956199498", "RHEL-9.*_HVM-*-x86_64-*-Hourly2-GP3", "ec2-user"),
    "rocky-10": Image("792107900819", "Rocky-10-EC2-Base-10.*.x86_64*", "rocky"),
    "rocky-9": Image("792107900819", "Rocky-9-EC2-Base-9.*.x86_64*", "rocky"),
    "debian-12": Image("136693071363", "debian-12-amd64-*", "admin"),
    "debian-13": Image("136693071363", "debian-13-amd64-*", "admin"),
    "ubuntu-24.04": Image("099720109477", "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*", "ubuntu"),
    "amazon-2023": Image("137112412989", "al2023-ami-2023.*-x86_64", "ec2-user"),
    # These have NVIDIA's driver in them: nvidia_source: preinstalled.
    "dlami-ubuntu-24.04": Image(
        "898082745236", "Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 24.04) *", "ubuntu"
    ),
    "dlami-amazon-2023": Image(
        "898082745236", "Deep Learning Base OSS Nvidia Driver GPU AMI (Amazon Linux 2023) *", "ec2-user"
    ),
}


def image_of(given: t.Mapping[str, t.Any]) -> Image:
    """What is looked for: the image of aws_cluster_os with what aws_cluster_image says otherwise."""
    known = IMAGES.get(str(given["os"]), Image("self", "*", "admin"))
    return known._replace(**{key: str(value) for key, value in given["image"].items() if key in Image._fields})


def newest(found: t.Sequence[t.Mapping[str, t.Any]]) -> t.Mapping[str, t.Any] | None:
    """The newest of the images that ec2_ami_info found; none that its owner has deprecated for others."""
    return max(found, key=lambda image: str(image["creation_date"]), default=None)
