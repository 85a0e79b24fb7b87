"""Settings of a run as frozen dataclasses, some fields of which are set on the command line as KEY=VALUE.

A config is a dataclass whose fields are values or such dataclasses again; the fields of a group are named
`group.field`. The functions here know no config in particular.
"""

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from typing import Any, TypeVar, cast, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from training.errors import ConfigError

C = TypeVar("C")


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


def differences(
    old: dict[str, Any], new: dict[str, Any], not_of_the_result: Collection[str], prefix: str = ""
) -> list[str]:
    """What two configs, as plain data, do not share, but for fields that a result does not depend on."""
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
