"""Settings and their documentation."""

import pytest
from pydantic import ValidationError

from app.encoder import open_encoder
from app.settings import Settings
from app.settings_table import values_in_use, with_table
from tests.conftest import ROOT
from tests.fakes import FakeEncoder


def test_the_table_in_the_documentation_is_current():
    document = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    assert document == with_table(document), "run `make settings`"
    for name in Settings.model_fields:
        assert f"| `SIGNDEX_{name.upper()}` |" in document


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_described(name):
    assert Settings.model_fields[name].description


def test_the_values_in_use_are_shown_without_secrets(monkeypatch):
    monkeypatch.setenv("SIGNDEX_ADMIN_KEY", "a key for tests")
    monkeypatch.setenv("SIGNDEX_PORT", "9001")
    rows = {variable: (value, is_set) for variable, value, is_set in values_in_use(Settings())}
    assert rows["SIGNDEX_PORT"] == ("9001", True)
    assert rows["SIGNDEX_DICTIONARY"] == ("not set", False)
    assert rows["SIGNDEX_ADMIN_KEY"] == ("**********", True)


def test_settings_come_from_the_environment(monkeypatch, tmp_path):
    for name, value in {"DATA": str(tmp_path), "PORT": "9001", "MAX_VIDEO_S": "2.5", "DICTIONARY": ""}.items():
        monkeypatch.setenv(f"SIGNDEX_{name}", value)
    settings = Settings()
    assert (settings.data, settings.port, settings.dictionary) == (tmp_path, 9001, None)
    assert settings.video_limits.max_duration_s == 2.5


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "70000"), ("MAX_VIDEO_S", "0"), ("MAX_VIDEO_S", "nan"), ("ADMIN_KEY", "short"), ("PROVIDER", "tpu")],
)
def test_values_that_make_no_sense_are_refused(monkeypatch, name, value):
    monkeypatch.setenv(f"SIGNDEX_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_the_admin_key_is_not_shown():
    assert "a key for tests" not in repr(Settings(admin_key="a key for tests"))


@pytest.fixture
def opened(monkeypatch):
    """What is asked for when an encoder is opened, instead of opening it."""
    asked = []

    def open_file(path, device):
        asked.append((path, device))
        return FakeEncoder()

    monkeypatch.setattr("app.encoder.open_file", open_file)
    return asked


@pytest.mark.parametrize(("provider", "used"), [("cpu", "signrep.onnx"), ("cuda", "signrep.fp16.onnx")])
def test_on_a_gpu_the_float16_file_beside_the_encoder_is_used(opened, tmp_path, provider, used):
    for name in ("signrep.onnx", "signrep.fp16.onnx"):
        (tmp_path / name).touch()
    open_encoder(Settings(data=tmp_path, encoder=tmp_path / "signrep.onnx", provider=provider, gpu_memory_gb=1.5))
    [(path, device)] = opened
    assert path.name == used
    assert (device.provider, device.memory_bytes) == (provider, 1_500_000_000)


def test_tensorrt_finds_a_folder_for_its_engines(opened, tmp_path):
    open_encoder(Settings(data=tmp_path / "data", provider="tensorrt"))
    [(_, device)] = opened
    assert device.engines == tmp_path / "data" / "engines"
    assert device.engines.is_dir()
