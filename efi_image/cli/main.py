"""The entry point of zpp-image: runs a command and turns errors into exit codes."""

from __future__ import annotations

import errno
import itertools
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import NoReturn

import click

from efi_image.cli import app
from efi_image.cli.json_output import Output, error_document, show_json, wants_json
from efi_image.errors import ExitCode, OutputError, ZppError, printable

# a full disk can show wherever something is written
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


_NAMES = ("SIGTERM", "SIGHUP", "SIGQUIT")  # Windows has only the first
_ENDING = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]


class _Terminated(BaseException):
    """SIGTERM, SIGHUP or SIGQUIT as an exception, so that half-written files are removed."""


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    # a terminal that is closed sends SIGHUP twice: the second must not interrupt the clean-up
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    raise _Terminated


def _print(line: str) -> None:
    """Print a line on standard error, if it is still open."""
    with suppress(OSError):
        click.echo(line, err=True, color=app.color())


def _say(line: str) -> None:
    _print(f"{click.style(f'{app.PROGRAM}:', fg='red', bold=True)} {line}")


def _occupy_closed_descriptors() -> None:
    """If descriptor 0, 1 or 2 is closed, keep a file opened later from getting its number."""
    for number, flags in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_RDONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # gets the lowest number, and still fails


def _invoke(words: Sequence[str]) -> int:
    code = app.invoke(words)
    if sys.stdout is not None:  # None: the caller has closed it
        sys.stdout.flush()
    return code


def _drop_output() -> None:
    """Discard output that is not flushed yet: nobody reads it, or the disk is full."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _classified(error: BaseException) -> BaseException:
    """The error of a full disk as an OutputError; other errors unchanged."""
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        _drop_output()
        where = str(error.filename or "the output")
        full = OutputError(f"cannot be written: {error.strerror}", where=where)
        full.__cause__ = error  # for --debug
        return full
    return error


def _report(error: BaseException, words: Sequence[str]) -> int:
    """Print the error, its line last, and with --json an object; return the exit code."""
    is_debug = _wants_traceback(words)
    if is_debug:
        _show_traceback(error)
    if isinstance(error, BrokenPipeError):  # as in `ls | head`: the reader has seen enough
        _drop_output()
        return ExitCode.OK
    code, message = _describe(error)
    if code == ExitCode.INTERNAL and not is_debug:
        _show_traceback(error)
    for line in error.details if isinstance(error, ZppError) else ():
        _print(line)
    _say(message)
    if wants_json(words) and not Output.begun:
        has_image = "make" in words and "-" in words  # on standard output
        with suppress(OSError):
            show_json(error_document(error, code, message), err=has_image)
    return code


def _describe(error: BaseException) -> tuple[int, str]:
    """The exit code of an error, and its line."""
    match error:
        case ZppError():
            return error.exit_code, str(error)
        case KeyboardInterrupt():
            return ExitCode.INTERRUPTED, "interrupted"
        case _Terminated():
            return ExitCode.TERMINATED, "terminated"
    if described := app.describe_error(error):
        return described
    line = f"internal error: {type(error).__name__}: {printable(str(error))}"
    return ExitCode.INTERNAL, line


def _show_traceback(error: BaseException) -> None:
    sys.__excepthook__(type(error), error, error.__traceback__)


def _wants_traceback(words: Sequence[str]) -> bool:
    """Whether --debug comes before the command; after it, it is the command's own option."""
    return "--debug" in itertools.takewhile(lambda word: word.startswith("-"), words)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run zpp-image and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    Output.begun = False
    _occupy_closed_descriptors()
    if sys.stdout is not None and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # for an encoding without line-drawing characters
    # nohup ignores SIGHUP, which has to stay so
    caught = [number for number in _ENDING if signal.getsignal(number) != signal.SIG_IGN]
    previous = {number: signal.signal(number, _terminate) for number in caught}
    try:
        return int(_invoke(words))
    except (Exception, KeyboardInterrupt, _Terminated) as error:
        return int(_report(_classified(error), words))
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
