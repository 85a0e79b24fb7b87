"""Ten lines for whoever asks what is wrong."""

import json
import sys

import pytest

from app import __main__ as commands
from app import doctor
from app.replica.services import open_services
from app.settings import Settings
from index.errors import IndexDeviceError
from model.errors import ProviderError
from model.runtime.devices import Device, GpuInfo, NvidiaDriver
from tests.fakes import FakeEncoder

NAMES = ["signdex", "memory", "disk", "driver", "gpu", "wheels", "encoder", "encode", "dictionary", "search"]


@pytest.fixture(autouse=True)
def encoder(monkeypatch):
    """A fake one, whatever the settings name."""
    made = FakeEncoder()
    monkeypatch.setattr(doctor, "open_encoder", lambda settings: made)
    return made


def no_driver():
    raise ProviderError("no NVIDIA driver answers (NVML Shared Library Not Found)")


def by_name(settings):
    return {finding.name: finding for finding in doctor.examine(settings)}


def test_there_are_ten_lines_in_order(settings):
    assert [finding.name for finding in doctor.examine(settings)] == NAMES


def test_a_service_on_a_processor_that_has_no_dictionary_yet_is_fine(settings):
    found = by_name(settings)
    assert all(finding.is_fine for finding in found.values())
    assert found["driver"].text == "none, and none is asked for"
    assert "python -m app index build DIR" in found["dictionary"].text
    assert f"ms a window, {Device().num_runs} at once" in found["encode"].text


def test_the_dictionary_is_named_and_searched(settings, progress):
    manifest = open_services(settings, FakeEncoder()).reindex(progress)
    found = by_name(settings)
    assert manifest.snapshot_id in found["dictionary"].text
    assert "5 videos of 5 signs" in found["dictionary"].text
    assert "ms for 10 signs, on cpu" in found["search"].text


def test_a_gpu_that_is_asked_for_and_not_there_is_bad_with_the_reason(settings, monkeypatch):
    def refuse(settings):
        raise ProviderError("CUDAExecutionProvider was asked for; the wheel has CPUExecutionProvider")

    monkeypatch.setattr(doctor.devices, "nvidia_driver", no_driver)
    monkeypatch.setattr(doctor, "open_encoder", refuse)
    found = by_name(settings.model_copy(update={"provider": "cuda"}))
    assert {name for name, finding in found.items() if not finding.is_fine} == {"driver", "gpu", "encoder", "encode"}
    assert "NVML Shared Library Not Found" in found["driver"].text
    assert "the wheel has CPUExecutionProvider" in found["encoder"].text


def test_an_index_that_can_not_live_on_a_gpu_is_bad_even_before_there_is_one(settings, monkeypatch):
    def refuse():
        raise IndexDeviceError("FAISS sees none")

    monkeypatch.setattr(doctor, "require_gpu", refuse)
    found = by_name(settings.model_copy(update={"index_device": "cuda"}))
    assert not found["dictionary"].is_fine
    assert found["dictionary"].text == "FAISS sees none"


def test_driver_gpu_and_its_free_memory_are_told(settings, monkeypatch):
    driver = NvidiaDriver("580.65.06", "13.0", (GpuInfo("NVIDIA L4", 24_000_000_000, 22_500_000_000),))
    monkeypatch.setattr(doctor.devices, "nvidia_driver", lambda: driver)
    found = by_name(settings)
    assert found["driver"].text == "580.65.06, for CUDA up to 13.0"
    assert found["gpu"].text == "NVIDIA L4, 22.5 GB of 24.0 GB free"


@pytest.mark.parametrize("names", doctor.LIMITS)
def test_free_memory_is_that_of_the_container_where_it_has_less(tmp_path, names):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       16000000 kB\nMemAvailable:    8000000 kB\n")
    limit, used = (tmp_path / name for name in names)
    assert doctor.memory(tmp_path, meminfo) == "8.2 GB of 16.4 GB free"
    limit.parent.mkdir(exist_ok=True)
    limit.write_text("4000000000\n")
    used.write_text("1000000000\n")
    assert doctor.memory(tmp_path, meminfo) == "3.0 GB of 4.0 GB free"
    limit.write_text("max\n")
    assert doctor.memory(tmp_path, meminfo) == "8.2 GB of 16.4 GB free"


@pytest.mark.parametrize(("provider", "status"), [("cpu", 0), ("cuda", 1)])
def test_the_command_prints_the_lines_or_json_and_its_status_says_whether_all_is_well(
    monkeypatch, capsys, tmp_path, provider, status
):
    monkeypatch.setattr(doctor.devices, "nvidia_driver", no_driver)
    monkeypatch.setenv("SIGNDEX_DATA", str(tmp_path))
    monkeypatch.setenv("SIGNDEX_PROVIDER", provider)
    printed = []
    for options in ([], ["--json"]):
        monkeypatch.setattr(sys, "argv", ["app", "doctor", *options])
        with pytest.raises(SystemExit) as ended:
            commands.main()
        assert (ended.value.code or 0) == status
        printed.append(capsys.readouterr().out)
    lines, told = printed[0].splitlines(), json.loads(printed[1])
    assert [line.split()[1] for line in lines] == [finding["name"] for finding in told] == NAMES
    assert [line.startswith("ok ") for line in lines] == [finding["is_fine"] for finding in told]


def test_the_settings_of_the_environment_are_those_that_are_examined(tmp_path):
    assert str(tmp_path) in by_name(Settings(data=tmp_path / "data"))["disk"].text
