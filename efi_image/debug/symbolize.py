"""Turns the addresses of the core's crash report into source lines, with llvm-symbolizer."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from efi_image.errors import BUILD_HINT, InputError, MissingError

# as hypervisor/src/core/crash.cpp prints them, relative to the start of the image; the short report
# of the QR code (hypervisor/src/screen/report.cpp) has them without "zpp: "
_ADDRESS = re.compile(
    r"(?:zpp: .*|^(?:rip .*)?)"
    r"(?P<kind>called from |\(image \+ )(?:0x)?(?P<address>[0-9a-f]{1,16})\b"
)
_IMAGE_LIMIT = 1 << 24
_NOTE_HEADER_SIZE = 16  # three sizes and the name "GNU"
_BUILD = re.compile(r"zpp: crash report of build (?P<id>[0-9a-f]{12})\b")


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A source line. Of several for one address, each function is inlined into the next."""

    function: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.function} at {self.file.removeprefix('./')}:{self.line}"


def address_in(line: str) -> int | None:
    """The address in a line of a report, or None; for a return address, the address of the call."""
    found = _ADDRESS.search(line)
    if found is None:
        return None
    address = int(found["address"], 16)
    if address >= _IMAGE_LIMIT:
        return None
    return address - 1 if found["kind"] == "called from " and address else address


def _source_lines(answer: str) -> tuple[SourceLine, ...]:
    symbols = json.loads(answer).get("Symbol", [])
    return tuple(
        SourceLine(symbol["FunctionName"] or "?", symbol["FileName"], symbol["Line"])
        for symbol in symbols
        if symbol["FileName"]
    )


def look_up(
    addresses: Sequence[int], symbols: Path, symbolizer: Path
) -> dict[int, tuple[SourceLine, ...]]:
    """Address → its source lines, the innermost function first.

    Raises InputError or MissingError.
    """
    if not symbols.is_file():
        raise InputError("does not exist", where=str(symbols), hint=BUILD_HINT)
    if not addresses:
        return {}
    wanted = "".join(f"{address:#x}\n" for address in addresses)
    line = (str(symbolizer), f"--obj={symbols}", "--output-style=JSON")
    try:
        done = subprocess.run(line, input=wanted, capture_output=True, text=True, check=False)
    except OSError as error:
        raise MissingError(
            f"does not start ({error.strerror})",
            where=str(symbolizer),
            hint="`apt install llvm-19`, or set TOOLCHAIN to LLVM's directory",
        ) from None
    answers = done.stdout.splitlines()
    if done.returncode or len(answers) != len(addresses):
        raise InputError("has no readable symbols", where=str(symbols))
    return {address: _source_lines(text) for address, text in zip(addresses, answers, strict=True)}


def build_id(symbols: Path) -> str:
    """The build ID of an ELF file in hexadecimal, '' if it has none."""
    import lief  # noqa: PLC0415

    lief.logging.disable()
    binary = lief.ELF.parse(symbols)
    section = binary and binary.get_section(".note.gnu.build-id")
    return bytes(section.content[_NOTE_HEADER_SIZE:]).hex() if section else ""


def _compare_builds(report: str, symbols: Path) -> None:
    builds = {found["id"] for found in _BUILD.finditer(report)}
    own = build_id(symbols) if builds and symbols.is_file() else ""
    for other in sorted(builds):
        if not own.startswith(other):
            raise InputError(
                f"has build ID {own[: len(other)] or '?'}, but the report has {other}",
                where=str(symbols),
                hint="use --symbols with the hypervisor.debug.elf of the core that crashed",
            )


def symbolize(report: str, symbols: Path, symbolizer: Path) -> Iterator[str]:
    """The lines of the report, each followed by the source lines of its address.

    Raises InputError or MissingError.
    """
    _compare_builds(report, symbols)
    lines = report.splitlines()
    found = [address_in(line) for line in lines]
    wanted = sorted({address for address in found if address is not None})
    sources = look_up(wanted, symbols, symbolizer)
    for line, address in zip(lines, found, strict=True):
        yield line
        for source in sources.get(address, ()) if address is not None else ():
            yield f"      {source}"
