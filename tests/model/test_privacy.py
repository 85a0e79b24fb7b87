"""What the libraries below would like to tell others."""

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT


def test_onnx_runtime_keeps_no_identifier_and_reports_to_nobody(encoder_file: Path, tmp_path: Path) -> None:
    """It writes an identifier below the home folder when it means to report."""
    program = (
        f"from model.runtime.onnx_encoder import OnnxEncoder as E; E(__import__('pathlib').Path({str(encoder_file)!r}))"
    )
    bare = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}  # on a machine of CI it would keep quiet by itself
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=bare, check=True)
    assert list(tmp_path.iterdir()) == []
