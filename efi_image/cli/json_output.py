"""JSON on standard output: one object with a version, also for an error.

docs/reference/schemas/ has a schema for each command.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import click

from efi_image.errors import ZppError
from efi_image.render.as_json import json_text, versioned


class Output:
    """Whether anything was printed."""

    begun = False  # then an error cannot follow as an object of its own


def wants_json(words: Iterable[str]) -> bool:
    """Whether a command line asks for JSON."""
    for word in words:
        if word == "--":
            return False
        if word == "--json":
            return True
    return False


def show_json(value: Any, *, err: bool = False) -> None:
    """Print a dataclass or mapping, with the version, all at once."""
    Output.begun = Output.begun or not err
    click.echo("".join(json_text(versioned(value))), err=err)


def json_pieces(value: Any) -> Iterable[str]:
    """The same in pieces to print one after the other, each without a line end."""
    for piece in json_text(versioned(value)):
        Output.begun = True
        yield piece
    yield "\n"


def error_document(error: BaseException, code: int, message: str) -> Mapping[str, Any]:
    """An error for programs; `kind` is the class in efi_image.errors, or another exception."""
    told = error if isinstance(error, ZppError) else None
    return {
        "error": {
            "kind": type(error).__name__.lstrip("_"),
            "exit_code": int(code),
            "message": message,
            "where": told.where if told else "",
            "hint": told.hint if told else "",
            "details": list(told.details) if told else [],
        }
    }
