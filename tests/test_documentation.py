"""Documents that name code, files and modules name what is there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGES = ("app", "model", "index", "training")
HISTORY = {"CHANGELOG.md", "docs/log.md", "docs/decisions/removed-in-0.2.md"}
"""These say what was; names in them may be gone."""
TEXTS = sorted(
    str(file.relative_to(ROOT))
    for file in (
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("model/encoders/*.md"),
        *ROOT.glob("app/demo/*.md"),
    )
)


def modules() -> list[str]:
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    return sorted(".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files)


@cache
def names_in(file: Path) -> set[str]:
    """What a module defines at its top, and in its classes."""
    tree = ast.parse(file.read_text("utf-8"))
    found = set()
    for node in [*tree.body, *(inner for one in tree.body if isinstance(one, ast.ClassDef) for inner in one.body)]:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {alias.asname or alias.name for alias in node.names}
    return found


def resolves(dotted: str) -> bool:
    """Whether a dotted name is a package or module, or something that one of them defines."""
    words = dotted.split(".")
    for length in range(len(words), 0, -1):
        place = ROOT.joinpath(*words[:length])
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if file.exists() or place.is_dir():
            return length == len(words) or (file.exists() and words[length] in names_in(file))
    return False


def test_every_module_stands_in_the_architecture():
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    missing = []
    for module in modules():
        folder, _, name = module.rpartition(".")
        if name in ("__init__", "__main__"):
            continue
        section = re.split(rf"^#+ .*`{re.escape(folder.replace('.', '/'))}/?`.*$", text, maxsplit=1, flags=re.M)
        rest = section[1] if len(section) > 1 else ""
        if not re.search(rf"`{re.escape(name)}`", re.split(r"^#+ ", rest, maxsplit=1, flags=re.M)[0]):
            missing.append(module)
    assert not missing, f"ARCHITECTURE.md has no row for: {', '.join(missing)}"


@pytest.mark.parametrize("text", [name for name in TEXTS if name not in HISTORY])
def test_every_dotted_name_in_a_document_resolves(text):
    content = (ROOT / text).read_text("utf-8")
    dotted = set(re.findall(rf"(?<![\w./@-])((?:{'|'.join(PACKAGES)})(?:\.[A-Za-z_]\w*)+)(?![\w(]*/)", content))
    dotted = {name for name in dotted if not re.search(r"\.(py|onnx|csv|json|jsonl|md|pt|faiss)$", name)}
    missing = sorted(name for name in dotted if not resolves(name))
    assert not missing, f"{text} names what is not there: {', '.join(missing)}"


@pytest.mark.parametrize("text", [name for name in TEXTS if name not in HISTORY])
def test_every_path_to_code_in_a_document_exists(text):
    content = (ROOT / text).read_text("utf-8")
    named = set(
        re.findall(rf"(?<![\w./@-])((?:{'|'.join((*PACKAGES, 'tests'))})(?:/[\w-]+)+(?:\.py|/))(?![\w*{{])", content)
    )
    missing = sorted(path for path in named if not (ROOT / path).exists())
    assert not missing, f"{text} names what is not there: {', '.join(missing)}"


@pytest.mark.parametrize("text", TEXTS)
def test_every_link_between_files_leads_somewhere(text):
    content = (ROOT / text).read_text("utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)", content) + re.findall(r'src="([^"]+)"', content)
    inside = {link.split("#")[0] for link in links if not re.match(r"[a-z]+:", link) and not link.startswith("#")}
    missing = sorted(link for link in inside if not ((ROOT / text).parent / link).exists())
    assert not missing, f"{text} links to what is not there: {', '.join(missing)}"


@pytest.mark.parametrize("text", TEXTS)
def test_every_link_to_a_heading_finds_it(text):
    content = (ROOT / text).read_text("utf-8")
    for link in re.findall(r"\]\(([^)\s:]*#[^)\s]+)\)", content):
        file, heading = link.split("#", 1)
        target = (ROOT / text).parent / file if file else ROOT / text
        titles = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.M)
        slugs = {re.sub(r"[^\w\- ]", "", title.lower().replace("`", "")).replace(" ", "-") for title in titles}
        assert heading in slugs, f"{text} links to {link}; {target.name} has no such heading"
