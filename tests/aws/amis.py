"""The images that the emulated account can see: what their publishers call them, several dates of each.

Names, owners, root devices and architectures are those of AWS; ids and dates are made up. Beside the images that a
lookup should find stand those that it must not: betas, other flavours that a wide pattern catches, and one under a
good name by an owner whom nobody knows. All of these are newer, so that a careless lookup takes them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

DEBIAN, CANONICAL, RED_HAT = "136693071363", "099720109477", "309956199498"
AMAZON_LINUX, DEEP_LEARNING, STRANGER = "137112412989", "898082745236", "666666666666"
# Neither the first nor the last is the newest: an account lists its images in no order.
_DATES = ("20260114", "20260811", "20250610")
_LATER = "20261103"
_BOTH = ("x86_64", "arm64")
_DEBIAN_ARCH = {"x86_64": "amd64", "arm64": "arm64"}


@dataclass(frozen=True)
class Image:
    name: str
    owner: str
    architecture: str
    date: str
    root: str
    size: int

    def id(self, region: str) -> str:
        """Another in each region, as an id that somebody wrote down would find out."""
        return "ami-0" + hashlib.sha256(f"{region} {self.owner} {self.name}".encode()).hexdigest()[:16]


def _distributions(architecture: str, date: str) -> Iterator[Image]:
    short = _DEBIAN_ARCH[architecture]
    for release in (12, 13):
        yield Image(f"debian-{release}-{short}-{date}-2053", DEBIAN, architecture, date, "/dev/xvda", 8)
    yield Image(
        f"ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{short}-server-{date}",
        *(CANONICAL, architecture, date, "/dev/sda1", 8),
    )
    for minor in ("9.6.0", "10.0.0"):
        name = f"RHEL-{minor}_HVM-{date}-{architecture}-0-Hourly2-GP3"
        yield Image(name, RED_HAT, architecture, date, "/dev/sda1", 10)
    amazon = f"al2023-ami-2023.9.{date}.0-kernel-6.1-{architecture}"
    yield Image(amazon, AMAZON_LINUX, architecture, date, "/dev/xvda", 8)


def _deep_learning(architecture: str, date: str) -> Iterator[Image]:
    arm = "ARM64 " if architecture == "arm64" else ""
    for system, root in (("Ubuntu 22.04", "sda1"), ("Ubuntu 24.04", "sda1"), ("Amazon Linux 2023", "xvda")):
        name = f"Deep Learning {arm}Base OSS Nvidia Driver GPU AMI ({system}) {date}"
        yield Image(name, DEEP_LEARNING, architecture, date, f"/dev/{root}", 75)


def _not_to_be_taken() -> Iterator[Image]:
    date, arch = _LATER, "x86_64"
    yield Image(f"debian-12-backports-amd64-{date}-2053", DEBIAN, arch, date, "/dev/xvda", 8)
    yield Image(f"debian-13-amd64-{date}-2053", STRANGER, arch, date, "/dev/xvda", 8)
    yield Image(
        f"ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-{date}", STRANGER, arch, date, "/dev/sda1", 8
    )
    yield Image(
        f"ubuntu-minimal/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-minimal-{date}",
        *(CANONICAL, arch, date, "/dev/sda1", 8),
    )
    for release in ("9.8.0", "10.2.0"):
        yield Image(f"RHEL-{release}_HVM_BETA-{date}-{arch}-0-Hourly2-GP3", RED_HAT, arch, date, "/dev/sda1", 10)
    # Needs a subscription of the buyer's own.
    yield Image(f"RHEL-10.0.0_HVM-{date}-{arch}-0-Access2-GP3", RED_HAT, arch, date, "/dev/sda1", 10)
    yield Image(f"al2023-ami-minimal-2023.9.{date}.0-kernel-6.1-{arch}", AMAZON_LINUX, arch, date, "/dev/xvda", 2)
    name = f"Deep Learning OSS Nvidia Driver AMI GPU PyTorch 2.9 (Ubuntu 24.04) {date}"
    yield Image(name, DEEP_LEARNING, arch, date, "/dev/sda1", 100)


def images() -> list[Image]:
    found = [
        image
        for date in _DATES
        for architecture in _BOTH
        for make in (_distributions, _deep_learning)
        for image in make(architecture, date)
    ]
    return [*_not_to_be_taken(), *found]


def login_user(name: str) -> str:
    """The user that an image lets in by key."""
    starts = {"debian-": "admin", "ubuntu": "ubuntu", "Deep Learning": "ubuntu"}
    if "Amazon Linux" in name:
        return "ec2-user"
    return next((user for start, user in starts.items() if name.startswith(start)), "ec2-user")
