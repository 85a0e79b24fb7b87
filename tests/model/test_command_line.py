"""The commands of the packages that stand alone: each is found, helps, and imports only what it needs."""

import subprocess
import sys

import pytest

import index.__main__
import model.__main__

COMMANDS = [(package, name) for package in (model, index) for name in package.__main__.COMMANDS]


def run(package, *arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        package.__main__.run(list(arguments))
    return int(ended.value.code or 0)


@pytest.mark.parametrize(("package", "name"), COMMANDS)
def test_every_command_says_what_it_takes(package, name, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(package, name, "--help") == 0
    assert f"python -m {package.__name__} {name}" in capsys.readouterr().out


@pytest.mark.parametrize("package", [model, index])
def test_an_unknown_command_is_refused_with_those_there_are(package, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(package, "fly") == 2
    assert "bench" in capsys.readouterr().err


def test_embedding_from_the_command_line_imports_no_torch() -> None:
    program = (
        "import sys, model.__main__ as m\n"
        "try: m.run(['embed', '--help'])\n"
        "except SystemExit: sys.exit('torch' in sys.modules or 'onnx' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0
