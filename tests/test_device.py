"""What the GPU backend says where it cannot run: one message for each thing that is missing."""

from __future__ import annotations

import ctypes.util
import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest

from gpu_kmeans import backend, device, errors
from gpu_kmeans.doctor import diagnose


class Driver:
    """A driver library that answers as told; its functions are the CUDA Driver API's."""

    def __init__(self, **answers: Any) -> None:
        self.version = answers.get("version", 13000)
        self.started = answers.get("started", 0)
        self.count = answers.get("count", 1)
        self.capability = answers.get("capability", (9, 0))
        self.context = answers.get("context", 0)
        self.allocation = answers.get("allocation", 0)
        self.contexts = self.allocated = 0

    def cuDriverGetVersion(self, out: Any) -> int:
        out._obj.value = self.version
        return 0

    def cuInit(self, flags: int) -> int:
        return self.started

    def cuDeviceGetCount(self, out: Any) -> int:
        out._obj.value = self.count
        return 0

    def cuDeviceGet(self, out: Any, ordinal: int) -> int:
        out._obj.value = ordinal
        return 0

    def cuDeviceGetName(self, buffer: Any, length: int, handle: Any) -> int:
        buffer.value = b"Card 9000"
        return 0

    def cuDeviceGetAttribute(self, out: Any, attribute: int, handle: Any) -> int:
        out._obj.value = self.capability[{75: 0, 76: 1}[attribute]]
        return 0

    def cuDevicePrimaryCtxRetain(self, out: Any, handle: Any) -> int:
        return self.context

    def cuCtxPushCurrent_v2(self, context: Any) -> int:
        self.contexts += 1
        return 0

    def cuCtxPopCurrent_v2(self, out: Any) -> int:
        self.contexts -= 1
        return 0

    def cuMemGetInfo_v2(self, free: Any, total: Any) -> int:
        free._obj.value, total._obj.value = 3 << 30, 16 << 30
        return 0

    def cuMemAlloc_v2(self, out: Any, size: Any) -> int:
        self.allocated += self.allocation == 0
        return self.allocation

    def cuMemFree_v2(self, pointer: Any) -> int:
        self.allocated -= 1
        return 0

    def cuGetErrorName(self, code: int, out: Any) -> int:
        names = {2: b"CUDA_ERROR_OUT_OF_MEMORY", 803: b"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"}
        out._obj.value = names.get(code)
        return 0


@pytest.fixture
def with_driver(monkeypatch: pytest.MonkeyPatch):
    """Install the GPU libraries, as far as looking for them goes, and a driver."""

    def install(driver: Driver | None, cuda: int = 13) -> Driver | None:
        monkeypatch.setattr(sys, "platform", "linux")
        monkeypatch.setattr(device, "find_spec", lambda name: object())
        monkeypatch.setattr(device, "_load", lambda: driver)
        needs = {12: device._CUDA_12, 13: device._CUDA_13}[cuda]
        monkeypatch.setattr(device, "_needs", lambda: needs)
        return driver

    return install


def test_a_device_that_can_be_used_is_described(with_driver):
    driver = with_driver(Driver())
    found = device.find_device()
    assert found == device.Device("Card 9000", (9, 0), 16 << 30, 3 << 30)
    assert str(found) == "Card 9000 (compute capability 9.0, 16,384 MiB)"
    assert backend.why_not_gpu() is None
    assert (driver.contexts, driver.allocated) == (0, 0), "the trial leaves nothing behind"


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"version": 12080}, "driver is too old: it supports CUDA 12.8, .* 580"),
        ({"started": 100}, "finds no device; check nvidia-smi, CUDA_VISIBLE_DEVICES"),
        ({"started": 803}, r"does not start \(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH\)"),
        ({"started": 4711}, r"does not start \(error 4711\)"),
        ({"count": 0}, "finds no device"),
        ({"capability": (7, 0)}, "compute capability 7.0 of Card 9000 is below 7.5"),
        ({"context": 2}, r"cannot be set up \(CUDA_ERROR_OUT_OF_MEMORY\)"),
        ({"allocation": 2}, r"gives no memory \(CUDA_ERROR_OUT_OF_MEMORY\): 3,072 of 16,384 MiB"),
    ],
)
def test_each_thing_that_is_missing_has_its_message(with_driver, answers, said):
    driver = with_driver(Driver(**answers))
    with pytest.raises(errors.BackendUnavailable, match=said) as caught:
        backend.resolve("gpu")
    assert "use backend='cpu'" in str(caught.value)
    chosen, reason = backend.choose("auto")
    assert chosen.name == "cpu"
    assert reason.startswith("no GPU: ")
    assert (driver.contexts, driver.allocated) == (0, 0)


def test_without_a_driver_that_is_said(with_driver):
    with_driver(None)
    assert "libcuda.so.1 cannot be loaded" in str(backend.why_not_gpu())
    assert device.driver_version() is None


def test_an_older_build_of_the_libraries_takes_an_older_driver_and_device(with_driver):
    with_driver(Driver(version=12040, capability=(7, 0)), cuda=12)
    assert backend.why_not_gpu() is None
    assert device.driver_version() == (12, 4)


def test_libraries_that_are_missing_are_named_with_the_extra_that_brings_them(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(device, "find_spec", lambda name: None if name == "cuml" else object())
    reason = str(backend.why_not_gpu())
    assert reason.startswith("cuml not installed")
    assert 'pip install ".[cu13]"' in reason


def test_other_systems_than_linux_are_named(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "this is darwin" in str(backend.why_not_gpu())


def test_libraries_that_do_not_load_are_an_obstacle_too(with_driver, monkeypatch):
    with_driver(Driver())
    monkeypatch.setitem(sys.modules, "gpu_kmeans.cuda", None)  # importing it raises ImportError
    with pytest.raises(errors.BackendUnavailable, match="installed and do not load"):
        backend.resolve("gpu")
    assert backend.resolve("auto").name == "cpu"


def test_the_real_probe_answers_quickly_and_imports_no_gpu_library():
    before = set(sys.modules)
    start = time.perf_counter()
    backend.why_not_gpu()
    seconds = time.perf_counter() - start
    new = {name.partition(".")[0] for name in set(sys.modules) - before}
    assert not new & {"cudf", "cuml", "cupy", "rmm", "numba"}
    assert seconds < 5, "importing RAPIDS alone would take longer"


def test_conda_builds_are_known_by_their_runtime(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(device, "distribution", _not_there)
    assert device._needs() == device._CUDA_12
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libcudart.so.13.0.96").touch()
    assert device._needs() == device._CUDA_13


def _not_there(name: str) -> None:
    raise device.PackageNotFoundError(name)


def test_a_library_that_is_no_driver_is_none(monkeypatch):
    monkeypatch.setattr(device, "DRIVER", "libnothing-of-this-name.so.1")
    assert device._load() is None
    monkeypatch.setattr(device, "DRIVER", ctypes.util.find_library("c") or "libc.so.6")
    assert device._load() is not None


def test_the_doctor_shows_device_driver_and_what_is_active(with_driver, monkeypatch):
    with_driver(Driver(version=13010))
    active = SimpleNamespace(enabled=lambda: True)
    monkeypatch.setitem(sys.modules, "cuml.accel", active)
    monkeypatch.setitem(sys.modules, "cudf.pandas", SimpleNamespace(LOADED=False))
    found = diagnose()
    assert found.device.name == "Card 9000"
    assert found.cuda == "13.1"
    assert found.accelerators == ["cuml.accel (scikit-learn)"]
    assert found.auto == "gpu"
    assert found.to_dict()["device"]["capability"] == (9, 0)
    assert "cudf" in " ".join(found.versions)
