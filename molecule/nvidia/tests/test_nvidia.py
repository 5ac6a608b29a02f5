"""The role nvidia without a GPU: Debian's driver on n1, the default source, from a stand-in of it, on n2."""

from __future__ import annotations

import typing as t

import pytest

# Its parts are made at run time, so no type checker knows them.
Host = t.Any
testinfra_hosts = ["ssh://n1", "ssh://n2"]


@pytest.fixture
def debian(host: Host) -> bool:
    return bool(host.backend.get_hostname() == "n1")


def module(host: Host, name: str) -> dict[str, str]:
    """What modinfo says of the module that DKMS built for the kernel of Debian."""
    path = host.check_output(f"ls /lib/modules/*-amd64/updates/dkms/{name}.ko*")
    lines = host.check_output(f"/sbin/modinfo {path}").splitlines()
    return {key.strip(): value.strip() for key, _colon, value in (line.partition(":") for line in lines)}


def test_module_is_built_for_the_kernel_that_boots(host: Host, debian: bool) -> None:
    found = module(host, "nvidia-current" if debian else "nvidia")
    assert found["license"] == ("NVIDIA" if debian else "Dual MIT/GPL")
    assert found["version"].startswith("535." if debian else "580.")
    assert "installed" in host.check_output("/usr/sbin/dkms status")


def test_module_and_library_are_one_version(host: Host, debian: bool) -> None:
    library = host.check_output("readlink -f /usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1")
    assert library.endswith(module(host, "nvidia-current" if debian else "nvidia")["version"])


def test_branch_stays_where_the_repository_has_a_newer_one(host: Host, debian: bool) -> None:
    if not debian:
        policy = host.check_output("apt-cache policy nvidia-driver-cuda")
        assert "595.71.05-1" in policy
        assert "Candidate: 580.95.05-1" in policy


def test_persistence_daemon_starts_with_the_host(host: Host) -> None:
    assert host.service("nvidia-persistenced").is_enabled


def test_nouveau_is_kept_away_also_in_the_initramfs(host: Host) -> None:
    assert "blacklist nouveau" in host.file("/etc/modprobe.d/llmops-nouveau.conf").content_string
    for image in host.run("ls /boot/initrd.img-*").stdout.split():
        assert host.file(image).mtime >= host.file("/etc/modprobe.d/llmops-nouveau.conf").mtime


def test_no_display_server_came_along(host: Host) -> None:
    assert not host.package("xserver-xorg-core").is_installed


def test_nvidia_smi_is_there_and_finds_no_gpu(host: Host, debian: bool) -> None:
    done = host.run("nvidia-smi")
    assert done.rc == (9 if debian else 6)


def test_key_is_readable_and_nobody_else_s_to_write(host: Host, debian: bool) -> None:
    key = host.file("/usr/share/keyrings/llmops-nvidia.asc")
    assert key.exists is not debian
    if not debian:
        assert (key.user, oct(key.mode)) == ("root", "0o644")


def test_only_the_source_that_was_asked_for(host: Host, debian: bool) -> None:
    sources = host.file("/etc/apt/sources.list.d/llmops-debian-nvidia.sources").content_string
    assert ("non-free" in sources) is debian
    assert host.file("/etc/apt/sources.list.d/llmops-nvidia.sources").exists is not debian
