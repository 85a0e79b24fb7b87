"""The command line of this package: `python -m model COMMAND`.

A command's module is imported when the command runs: torch is needed by `export` and the benchmarks, and by `fetch` to
convert, but not by `embed`.
"""

import importlib
import sys

import typer

COMMANDS = {
    "embed": "model.embed",
    "export": "model.network.export",
    "fetch": "model.weights.fetch",
    "bench": "model.bench.encoder",
    "bench-gpu": "model.bench.gpu",
}


def run(arguments: list[str]) -> None:
    """Run the command that the first argument names."""
    if not arguments or arguments[0] not in COMMANDS:
        print(f"usage: python -m model {{{','.join(COMMANDS)}}} ...", file=sys.stderr)
        sys.exit(0 if arguments[:1] == ["--help"] else 2)
    name, *options = arguments
    try:
        command = importlib.import_module(COMMANDS[name]).main
    except ModuleNotFoundError as error:
        print(f"{name} needs {error.name}; `uv sync --group train` installs it", file=sys.stderr)
        sys.exit(1)
    app = typer.Typer(add_completion=False)
    app.command()(command)
    app(options, prog_name=f"python -m model {name}")


if __name__ == "__main__":
    run(sys.argv[1:])
