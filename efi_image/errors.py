"""The exceptions of the library, as a tree; every error that a user can cause is one of them.

    ZppError
    ├── ExpectationFailed    1   the guest ran, but the expected text was not seen
    ├── GuestFailed          1   the guest failed: a crash of the core, a kernel panic …
    ├── UsageError           2   options that contradict each other, or a value out of range
    │   └── ConfigError      2   environment.config, environment.local or an environment variable
    ├── InputError           3   an input file is missing, unreadable or not valid
    │   ├── PeError          3   … a PE file that UEFI cannot load, or not from its path
    │   ├── ConfError        3   … a zpp.conf with a fault
    │   ├── ManifestError    3   … a manifest with a fault
    │   └── FatNameError     3   … a name that FAT does not allow
    ├── OutputError          4   the output cannot be written
    ├── DoesNotFitError      5   the image is too small (or too large) for its files
    ├── MissingError         6   a program or file has to be installed first
    │   ├── EmulatorMissing  6   … an emulator
    │   └── FirmwareMissing  6   … UEFI firmware for the machine
    ├── EmulatorFailed       7   the emulator failed, or was killed
    ├── TimedOut             8   the time limit passed
    ├── UnsafeTarget         9   a device that is not safe to write, or was not confirmed
    └── VerificationFailed  10   the data read back from a device differs from what was written

The number is the exit code of `zpp-image` (table EXIT_CODES). An error says in one line what
happened and where and, if there is one, the command or setting that fixes it.

Standard library only: efi_image.config.environment runs before anything is installed.
"""

from __future__ import annotations

from enum import IntEnum


def reason_of(error: OSError | ValueError) -> str:
    """Why a file cannot be opened or read; Python's own words for a ValueError change."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    is_unicode = isinstance(error, UnicodeError)
    return "its name cannot be encoded" if is_unicode else "its name contains a NUL"


class ExitCode(IntEnum):
    """Exit codes of `zpp-image`; documented in `zpp-image --help`."""

    OK = 0
    VERDICT = 1
    USAGE = 2
    INPUT = 3
    OUTPUT = 4
    DOES_NOT_FIT = 5
    MISSING = 6
    EMULATOR = 7
    TIMEOUT = 8
    UNSAFE = 9
    VERIFICATION_FAILED = 10
    INTERNAL = 70
    INTERRUPTED = 130
    READER_GONE = 141
    TERMINATED = 143


# for a built program that is missing
BUILD_HINT = "run `make` in a clone of zpp, or install its wheel, which contains it"

EXIT_CODES: dict[ExitCode, str] = {
    ExitCode.OK: "success",
    ExitCode.VERDICT: "`run`: the guest failed, or expected text was not seen; "
    "`diff`: differences; `verify`: errors; `doctor`: zpp will not run there",
    ExitCode.USAGE: "error in the usage or the configuration",
    ExitCode.INPUT: "an input file is missing or not valid, or FAT does not allow its name",
    ExitCode.OUTPUT: "the output cannot be written",
    ExitCode.DOES_NOT_FIT: "the files do not fit into the image",
    ExitCode.MISSING: "an emulator, firmware or program is missing, or cannot be downloaded",
    ExitCode.EMULATOR: "the emulator failed or was killed",
    ExitCode.TIMEOUT: "the time limit passed",
    ExitCode.UNSAFE: "target not safe, in use, or not confirmed; nothing was written",
    ExitCode.VERIFICATION_FAILED: "verification failed: the data read back differs",
    ExitCode.INTERNAL: "internal error of zpp-image",
    ExitCode.INTERRUPTED: "interrupted (SIGINT); no half-written file remains, and nothing boots",
    ExitCode.READER_GONE: "`make -`: the reader of standard output ended early (SIGPIPE)",
    ExitCode.TERMINATED: "terminated (SIGTERM, SIGHUP, SIGQUIT); as with 130",
}


def printable(text: str) -> str:
    """The text on one line: control characters, line ends and lone surrogates escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class ZppError(Exception):
    """An error that zpp-image reports in one line.

    `where` names the file (with `:line` where known), option or device; `hint` is the
    command or setting that fixes it; `details` are lines before it, such as a
    command line and the end of a log.
    """

    exit_code = ExitCode.INTERNAL

    def __init__(
        self, what: str, *, where: str = "", hint: str = "", details: tuple[str, ...] = ()
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint
        self.details = details

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        if self.hint:
            line += f"; {self.hint}"
        return printable(line)


class ExpectationFailed(ZppError):
    """The guest ran to its end, but the expected text was not seen."""

    exit_code = ExitCode.VERDICT


class GuestFailed(ZppError):
    """The guest failed: the core crashed, the kernel panicked, or nothing could be started."""

    exit_code = ExitCode.VERDICT


class UsageError(ZppError):
    """Options that contradict each other, or a value out of range."""

    exit_code = ExitCode.USAGE


class ConfigError(UsageError):
    """A fault in environment.config, environment.local or an environment variable."""


class InputError(ZppError):
    """An input file is missing, unreadable or not valid."""

    exit_code = ExitCode.INPUT


class PeError(InputError):
    """A PE file that UEFI cannot load, or not from its path."""


class ConfError(InputError):
    """A zpp.conf with a fault."""


class ManifestError(InputError):
    """A manifest of `make` with a fault."""


class FatNameError(InputError):
    """A name or path that FAT does not allow."""


class OutputError(ZppError):
    """The output cannot be written."""

    exit_code = ExitCode.OUTPUT


class DoesNotFitError(ZppError):
    """The image is too small (or too large) for its files."""

    exit_code = ExitCode.DOES_NOT_FIT


class MissingError(ZppError):
    """A program or file has to be installed first."""

    exit_code = ExitCode.MISSING


class EmulatorMissing(MissingError):
    """An emulator is not installed."""


class FirmwareMissing(MissingError):
    """No UEFI firmware for the machine."""


class EmulatorFailed(ZppError):
    """The emulator did not start, failed, or was killed."""

    exit_code = ExitCode.EMULATOR


class TimedOut(ZppError):
    """The time limit passed."""

    exit_code = ExitCode.TIMEOUT


class UnsafeTarget(ZppError):
    """A device that is not safe to write, or whose erasure was not confirmed."""

    exit_code = ExitCode.UNSAFE


class VerificationFailed(ZppError):
    """The data read back from a device differs from what was written to it."""

    exit_code = ExitCode.VERIFICATION_FAILED
