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
from efi_image.errors import ExitCode, OutputError, ZppError, printable

# a full disk can show wherever something is written
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


_NAMES = ("SIGTERM", "SIGHUP", "SIGQUIT")  # Windows has only the first
_ENDING = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]


class _Terminated(BaseException):
    """SIGTERM, SIGHUP or SIGQUIT as an exception, so that half-written files are removed."""


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    # a terminal that is closed sends SIGHUP twice: the second must not disturb the cleaning up
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    raise _Terminated


def _print(line: str) -> None:
    """Print a line on standard error, if anybody is still there."""
    with suppress(OSError):
        click.echo(line, err=True)


def _say(line: str) -> None:
    _print(f"{app.PROGRAM}: {line}")


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


def _report(error: BaseException, debug: bool) -> int:
    """Print one line about the error, and return its exit code."""
    if debug:
        _show_traceback(error)
    match error:
        case ZppError():
            _say(str(error))
            for line in error.details:
                _print(line)
            return error.exit_code
        case KeyboardInterrupt():
            _say("interrupted")
            return ExitCode.INTERRUPTED
        case _Terminated():
            _say("terminated")
            return ExitCode.TERMINATED
        case BrokenPipeError():  # as in `ls | head`: whoever reads has seen enough
            _drop_output()
            return ExitCode.OK
    if described := app.describe_error(error):
        code, text = described
        _print(text)
        return code
    if not debug:
        _show_traceback(error)
    _say(f"internal error: {type(error).__name__}: {printable(str(error))}")
    return ExitCode.INTERNAL


def _show_traceback(error: BaseException) -> None:
    sys.__excepthook__(type(error), error, error.__traceback__)


def _wants_traceback(words: Sequence[str]) -> bool:
    """Whether --debug comes before the command; after it, it is the command's own option."""
    return "--debug" in itertools.takewhile(lambda word: word.startswith("-"), words)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run zpp-image and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = _wants_traceback(words)
    # nohup ignores SIGHUP, which has to stay so
    caught = [number for number in _ENDING if signal.getsignal(number) != signal.SIG_IGN]
    previous = {number: signal.signal(number, _terminate) for number in caught}
    try:
        return int(_invoke(words))
    except (Exception, KeyboardInterrupt, _Terminated) as error:
        return int(_report(_classified(error), debug))
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
