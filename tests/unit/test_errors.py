"""The exception tree: one line each, and an exit code that is documented."""

from __future__ import annotations

import inspect

import pytest

from efi_image import errors
from efi_image.errors import EXIT_CODES, ExitCode, ZppError

CLASSES = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, ZppError)
]


def test_message_says_where_what_and_how_to_mend() -> None:
    error = ZppError("is a directory", where="a/b", hint="give a file")
    assert str(error) == "a/b: is a directory; give a file"
    assert str(ZppError("is odd")) == "is odd"


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\x1b[2Jb", "a\u2028b", "a\udcffb", "a\x00b"])
def test_message_stays_on_one_harmless_line(text: str) -> None:
    line = str(ZppError(text, where=text, hint=text))
    assert line.isprintable()
    assert len(line.splitlines()) == 1
    line.encode("utf-8")


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_is_drawn_in_the_tree_with_its_code(kind: type[ZppError]) -> None:
    assert errors.__doc__
    drawn = [line for line in errors.__doc__.splitlines() if kind.__name__ in line]
    assert drawn
    if kind is not ZppError:
        assert f" {kind.exit_code.value} " in drawn[0]


def test_every_exit_code_is_documented() -> None:
    assert set(EXIT_CODES) == set(ExitCode)
