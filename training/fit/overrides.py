"""Settings of a run as frozen dataclasses, some fields of which are set on the command line as KEY=VALUE.

A config is a dataclass whose fields are values or such dataclasses again; the fields of a group are named
`group.field`. The functions here know no config in particular.
"""

import dataclasses
import operator
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from training.errors import ConfigError

C = TypeVar("C")

Rules = Mapping[str, tuple[bool, str]]
"""By the field's name, as `flatten` gives it: whether its value is allowed, and what is."""


def flatten(config: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All fields with their values, those of groups as `group.field`."""
    for entry in dataclasses.fields(cast("Any", config)):
        value = getattr(config, entry.name)
        if dataclasses.is_dataclass(value):
            yield from flatten(value, f"{prefix}{entry.name}.")
        else:
            yield prefix + entry.name, value


def split(assignment: str) -> tuple[str, str]:
    """Key and value of KEY=VALUE.

    Raises:
        ConfigError: it is none.
    """
    key, equals, text = assignment.partition("=")
    if not equals:
        raise ConfigError(f"{assignment!r} sets nothing; write KEY=VALUE")
    return key, text


def assign(config: C, key: str, text: str, valid: Sequence[str]) -> C:
    """A config with one field set.

    Args:
        config: to start from; it stays as it is.
        key: of the field, as `flatten` names it.
        text: the value; values of tuples are separated by commas.
        valid: what a refusal of an unknown key lists.

    Raises:
        ConfigError: the key is unknown, or the value can't be.
    """
    if key not in dict(flatten(config)):
        raise ConfigError(f"unknown setting {key!r}; valid are {', '.join(valid)}")
    return _set(config, key.split("."), text, key)


def override(config: C, given: Sequence[str]) -> C:
    """A config with some fields set, each as KEY=VALUE; the one given stays as it is.

    Raises:
        ConfigError: not an assignment, an unknown key (all valid ones are listed), or a value that can't be.
    """
    valid = list(dict(flatten(config)))
    for assignment in given:
        config = assign(config, *split(assignment), valid)
    return config


def read_preset(presets: Mapping[str, Callable[[], C]], name: str) -> C:
    """A preset by name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in presets:
        raise ConfigError(f"preset is {name!r}; allowed are {', '.join(presets)}")
    return presets[name]()


def require(config: object, rules: Rules) -> None:
    """Refuse values that are not allowed.

    Raises:
        ConfigError: names the field, the value and what is allowed.
    """
    for name, (holds, allowed) in rules.items():
        if not holds:
            raise ConfigError(f"{name} is {operator.attrgetter(name)(config)}; it must be {allowed}")


def positive(config: object, names: Sequence[str]) -> Rules:
    """The rule of fields that count something: at least 1."""
    return {name: (operator.attrgetter(name)(config) >= 1, "at least 1") for name in names}


def as_plain_data(config: object) -> dict[str, Any]:
    """All fields as plain data, paths as text; `from_plain_data` takes it back."""
    fields: dict[str, Any] = TypeAdapter(type(config)).dump_python(config, mode="python")
    return {name: str(value) if isinstance(value, Path) else value for name, value in fields.items()}


def from_plain_data(kind: type[C], fields: dict[str, Any]) -> C:
    """A config from plain data.

    Raises:
        ConfigError: it is of another version of this program.
    """
    try:
        return TypeAdapter(kind).validate_python(fields)
    except ValidationError as error:
        raise ConfigError(f"these settings are not of this version: {error}") from error


def differences(
    old: dict[str, Any], new: dict[str, Any], not_of_the_result: Collection[str], prefix: str = ""
) -> list[str]:
    """The fields in which two configs, as plain data, differ, but for those that a result does not depend on."""
    found = []
    for name in sorted(old.keys() | new.keys()):
        key, before, after = prefix + name, old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            found += differences(before, after, not_of_the_result, f"{key}.")
        elif before != after and key not in not_of_the_result:
            found.append(f"{key} was {before} and is {after}")
    return found


def _set(config: C, path: Sequence[str], text: str, key: str) -> C:
    name, rest = path[0], path[1:]
    value = _set(getattr(config, name), rest, text, key) if rest else _parse(config, name, text, key)
    try:
        return cast("C", dataclasses.replace(cast("Any", config), **{name: value}))
    except ValueError as error:
        raise ConfigError(f"{key}={text}: {error}") from error


def _parse(config: object, name: str, text: str, key: str) -> object:
    hint = get_type_hints(type(config))[name]
    raw = [part for part in text.split(",") if part] if get_origin(hint) is tuple else text
    try:
        return TypeAdapter(hint).validate_python(raw)
    except ValidationError as error:
        raise ConfigError(f"{key}={text}: {error.errors()[0]['msg']}") from error
