# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What libcuda answers, by a stand-in of it; the real one answers 100 where there is no GPU."""

from __future__ import annotations

import ctypes
import typing as t

import pytest
from ansible_collections.llmops.cluster.roles.nvidia.files import device_query


class Cuda:
    """A libcuda with GPUs, whose named call fails."""

    def __init__(self, gpus: list[tuple[str, int, int]], failing: str = "", code: int = 0) -> None:
        self.gpus, self.failing, self.code = gpus, failing, code

    def __getattr__(self, name: str) -> t.Callable[..., int]:
        def call(*arguments: t.Any) -> int:
            if name == self.failing:
                return self.code
            getattr(self, f"_{name}")(*arguments)
            return 0

        return call

    def _cuInit(self, flags: int) -> None:  # noqa: N802 (the names of the library)
        assert flags == 0

    def _cuDriverGetVersion(self, version: t.Any) -> None:  # noqa: N802
        version._obj.value = 13000

    def _cuDeviceGetCount(self, count: t.Any) -> None:  # noqa: N802
        count._obj.value = len(self.gpus)

    def _cuDeviceGet(self, device: t.Any, number: int) -> None:  # noqa: N802
        device._obj.value = number

    def _cuDeviceGetName(self, name: t.Any, size: int, device: ctypes.c_int) -> None:  # noqa: N802
        name.value = self.gpus[device.value][0].encode()[: size - 1]

    def _cuDeviceGetAttribute(self, value: t.Any, attribute: int, device: ctypes.c_int) -> None:  # noqa: N802
        value._obj.value = self.gpus[device.value][{75: 1, 76: 2}[attribute]]

    def _cuGetErrorString(self, code: int, text: t.Any) -> None:  # noqa: N802
        text._obj.value = b"no CUDA-capable device is detected" if code == 100 else None


def test_devices() -> None:
    assert device_query.ask(Cuda([("NVIDIA L4", 8, 9), ("NVIDIA H100 NVL", 9, 0)])) == {
        "cuda": 13000,
        "devices": [
            {"name": "NVIDIA L4", "capability": "8.9"},
            {"name": "NVIDIA H100 NVL", "capability": "9.0"},
        ],
        "error": "",
    }


@pytest.mark.parametrize(
    ("failing", "code", "message"),
    [
        pytest.param("cuInit", 100, "cuInit: error 100, no CUDA-capable device is detected", id="no-device"),
        pytest.param("cuDeviceGetCount", 4, "cuDeviceGetCount: error 4, unknown", id="without-words"),
    ],
)
def test_refusal(failing: str, code: int, message: str) -> None:
    with pytest.raises(device_query.QueryError) as caught:
        device_query.ask(Cuda([], failing, code))
    assert str(caught.value) == message


def test_without_the_library(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def missing(_name: str) -> t.NoReturn:
        raise OSError("libcuda.so.1: cannot open shared object file")

    monkeypatch.setattr(device_query.ctypes, "CDLL", missing)
    device_query.main()
    assert capsys.readouterr().out == (
        '{"cuda": 0, "devices": [], "error": "libcuda.so.1: cannot open shared object file"}\n'
    )
