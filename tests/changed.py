"""The tests of what changed since main, as arguments for pytest: `python -m tests.changed`.

A module is tested by the file of its name in the mirrored folder, app/http/auth.py by tests/app/http/test_auth.py, or,
where there is no such file, the tests in that folder that import it. Prints nothing where nothing with tests changed.
"""

import subprocess
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

PACKAGES = ("app", "model", "index", "training")
LEFT_OUT = ("tests/web", "tests/fire", "tests/docker", "tests/hostile")
"""A browser, minutes of load, containers: `make test` runs those that it has the means for."""


def changed_files(root: Path, base: str = "main") -> list[str]:
    """Files that differ from where this branch left `base`, committed or not, and new ones."""

    def git(*words: str) -> list[str]:
        found = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)
        return found.stdout.splitlines()

    start = git("merge-base", "HEAD", base) or ["HEAD"]
    return sorted({*git("diff", "--name-only", start[0]), *git("ls-files", "--others", "--exclude-standard")})


def matching_tests(files: Iterable[str], root: Path) -> list[str]:
    """Test files to run for changed files, relative to the root, each once and only those that exist."""
    found: set[str] = set()
    for file in map(PurePosixPath, files):
        if file.suffix != ".py":
            continue
        if file.parts[0] == "tests" and file.name.startswith("test_"):
            found.add(str(file))
        elif file.parts[0] in PACKAGES:
            found |= _matching_module(file, root)
    return sorted(file for file in found if (root / file).exists() and not file.startswith(LEFT_OUT))


def _matching_module(module: PurePosixPath, root: Path) -> set[str]:
    folder = PurePosixPath("tests") / module.parent
    own = folder / f"test_{module.stem}.py"
    if (root / own).exists():
        return {str(own)}
    dotted = ".".join(module.with_suffix("").parts)
    return {
        str(PurePosixPath(test.relative_to(root)))
        for test in sorted((root / folder).glob("test_*.py"))
        if dotted in test.read_text("utf-8")
    }


def main() -> None:
    """Print the arguments."""
    root = Path(__file__).resolve().parent.parent
    print(*matching_tests(changed_files(root), root))


if __name__ == "__main__":
    main()
