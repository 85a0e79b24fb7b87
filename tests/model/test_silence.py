"""The encoder's runtime reports to nobody."""

import os
import subprocess
import sys

from tests.conftest import ROOT


def test_the_runtime_reports_to_nobody(tmp_path):
    """What it reports with leaves a file where temporary files lie; tests and CI would keep it silent anyway."""
    silent = ("ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "CI", "GITHUB_ACTIONS", "TF_BUILD")
    environment = {name: value for name, value in os.environ.items() if name not in silent}
    script = (
        "from model.runtime.onnx_encoder import DEFAULT_ENCODER, OnnxEncoder; OnnxEncoder(DEFAULT_ENCODER, threads=1)"
    )
    command = [sys.executable, "-c", script]
    subprocess.run(command, cwd=ROOT, env={**environment, "TMPDIR": str(tmp_path)}, check=True)
    assert list(tmp_path.iterdir()) == []
