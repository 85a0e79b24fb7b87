"""Names say what a stranger from this field would guess: CONTRIBUTING's glossary, held by a machine."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import pytest

from tests.conftest import ROOT

PACKAGES = ("app", "model", "index", "training")
GLOSSARY = ROOT / "CONTRIBUTING.md"


@dataclass(frozen=True)
class Forbidden:
    """A word that is not used, what the field says, and the packages it is kept out of."""

    word: str
    instead: str
    packages: tuple[str, ...]

    def is_in(self, words: list[str]) -> bool:
        """Whether a name says the word, and not as a part of the field's own: depth_growth may say growth."""
        phrases = [phrase.strip().split() for phrase in self.instead.lower().split(",")]
        fine = any(contains(words, phrase) for phrase in phrases)
        return contains(words, self.word.split("_")) and not fine


def contains(words: list[str], phrase: list[str]) -> bool:
    """Whether the words of a phrase stand in a row: ["is", "in", "use"] contains ["in", "use"]."""
    return any(words[i : i + len(phrase)] == phrase for i in range(len(words) - len(phrase) + 1))


def forbidden_words() -> list[Forbidden]:
    """The table under "Words that are not used"; an empty last column stands for all packages."""
    section = GLOSSARY.read_text("utf-8").split("### Words that are not used", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]*)\|$", section, re.M)[1:]
    return [
        Forbidden(word.strip(), instead.strip(), tuple(where.replace(",", " ").split()) or PACKAGES)
        for words, instead, where in rows
        for word in words.split(",")
    ]


def parts(name: str) -> list[str]:
    """The words of a name: PairRenderer -> pair, renderer; num_windows -> num, windows."""
    return [part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def public_names(file: Path) -> Iterator[tuple[str, int]]:
    """Modules, classes, functions, fields and options of commands, but those that begin with an underscore; lines."""
    yield file.parent.name if file.stem == "__init__" else file.stem, 1
    tree = ast.parse(file.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and not node.name.startswith("_"):
            yield node.name, node.lineno
        if isinstance(node, ast.ClassDef):
            yield from ((field.target.id, field.lineno) for field in node.body if is_field(field))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from options(node)


def is_field(node: ast.stmt) -> TypeGuard[Any]:
    """Whether a statement of a class declares a public field."""
    return isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and not node.target.id.startswith("_")


def options(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[str, int]]:
    """Options and arguments of a command, under the names they have on the command line."""
    for argument in (*function.args.args, *function.args.kwonlyargs):
        declared = ast.unparse(argument.annotation) if argument.annotation else ""
        if "typer.Option(" in declared or "typer.Argument(" in declared:
            yield argument.arg, argument.lineno
            for name in re.findall(r"'--([a-z][a-z-]*)'", declared):
                yield name, argument.lineno


def test_the_words_of_a_name_are_told_apart():
    assert parts("PairRenderer") == ["pair", "renderer"]
    assert parts("num_FFN_layers") == ["num", "ffn", "layers"]


def test_the_glossary_names_words_to_look_for():
    words = {row.word: row for row in forbidden_words()}
    assert len(words) > 20
    assert words["theatre"] == Forbidden("theatre", "pair renderer", PACKAGES)
    assert words["places"].packages == ("app",)


def test_a_word_counts_where_it_stands_whole_and_not_in_what_the_field_says():
    growth, in_use = Forbidden("growth", "depth growth", PACKAGES), Forbidden("in_use", "leases", PACKAGES)
    assert growth.is_in(parts("growth_of_blocks"))
    assert not growth.is_in(parts("depth_growth"))
    assert in_use.is_in(parts("SnapshotInUse"))
    assert not in_use.is_in(parts("use_in"))
    assert not Forbidden("beat", "heartbeat", PACKAGES).is_in(parts("send_heartbeat"))


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_keep_to_the_glossary(package):
    words = [row for row in forbidden_words() if package in row.packages]
    found = [
        f"{file.relative_to(ROOT)}:{line}: {name} says '{row.word}'; the glossary says '{row.instead}'"
        for file in sorted((ROOT / package).rglob("*.py"))
        for name, line in public_names(file)
        for row in words
        if row.is_in(parts(name))
    ]
    assert not found, "\n".join(found)
