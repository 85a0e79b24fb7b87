"""The command line of this package, its benchmarks: `python -m index COMMAND`."""

import importlib
import sys

import typer

COMMANDS = {"bench": "index.bench.search", "bench-scale": "index.bench.scale"}


def run(arguments: list[str]) -> None:
    """Run the command that the first argument names."""
    if not arguments or arguments[0] not in COMMANDS:
        print(f"usage: python -m index {{{','.join(COMMANDS)}}} ...", file=sys.stderr)
        sys.exit(0 if arguments[:1] == ["--help"] else 2)
    name, *options = arguments
    app = typer.Typer(add_completion=False)
    app.command()(importlib.import_module(COMMANDS[name]).main)
    app(options, prog_name=f"python -m index {name}")


if __name__ == "__main__":
    run(sys.argv[1:])
