"""JSON in pieces, because a listing can be larger than memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from itertools import islice
from typing import Any

VERSION = 1  # of the documents; changes only when programs that read them must change
PARTS = 4096  # per piece
_INDENT = "  "
_scalar = json.JSONEncoder().encode


def json_text(value: Any) -> Iterator[str]:
    """The JSON of dataclasses, enums, mappings, iterables and scalars, in pieces."""
    parts = _value(value, "\n")
    while piece := "".join(islice(parts, PARTS)):
        yield piece


def versioned(value: Any) -> dict[str, Any]:
    """The members of a dataclass or mapping, after the version."""
    return {"version": VERSION, **dict(_members(value))}


def _value(value: Any, end: str) -> Iterator[str]:
    """The parts of a value; `end` is a line end with the indent of the value around it."""
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, str | int | float):
        yield _scalar(value)
    elif is_dataclass(value) or isinstance(value, Mapping):
        pairs = (([_scalar(name), ": "], member) for name, member in _members(value))
        yield from _all("{", pairs, "}", end)
    else:
        yield from _all("[", (([], member) for member in value), "]", end)


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from value.items()
        return
    for field in fields(value):
        yield field.name, getattr(value, field.name)


def _all(
    first: str, members: Iterable[tuple[list[str], Any]], last: str, end: str
) -> Iterator[str]:
    inner = end + _INDENT
    before = first + inner
    empty = True
    for head, member in members:
        yield before
        yield from head
        yield from _value(member, inner)
        before, empty = "," + inner, False
    yield first + last if empty else end + last
