"""Facts about a PE file, right or wrong; pefile is imported only when a file is looked at."""

from __future__ import annotations

import hashlib
import mmap
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from efi_image.errors import PeError, printable
from efi_image.formats.pe.authenticode import SignatureFacts, signatures
from efi_image.formats.pe.headers import PE32_PLUS
from efi_image.formats.pe.uefi import (
    DIRECTORY_SECURITY,
    MACHINE_TEXT,
    SUBSYSTEM_TEXT,
    Machine,
    Subsystem,
)

READ, WRITE, EXECUTE = 0x40000000, 0x80000000, 0x20000000
NX_COMPAT = 0x0100
CHUNK = 1 << 20
MAX_TEXT = 16 << 10  # bytes of a section that is text
MAX_IMPORTS = 4096
MAX_TABLE = 4 << 20  # bytes of a certificate table
PAGE = 0x1000
# sections of a unified kernel image, and of shim's generation numbers, that are text
TEXT_SECTIONS = (".sbat", ".osrel", ".cmdline", ".uname")


@dataclass(frozen=True)
class SectionFacts:
    """A section; `access` is such as `r-x`."""

    name: str
    address: int
    size: int
    offset: int
    raw_size: int
    access: str
    findings: tuple[str, ...]


@dataclass(frozen=True)
class PeFacts:
    """A PE file: what it is, its parts, its digests, its signatures, and what is wrong with it."""

    size: int
    machine: str
    subsystem: str
    bits: int
    entry_point: int
    image_base: int
    image_size: int
    timestamp: int
    nx_compatible: bool
    checksum: int
    right_checksum: int
    sha256: str
    authenticode_sha256: str
    sections: tuple[SectionFacts, ...]
    imports: tuple[str, ...]
    sbat: tuple[str, ...]
    texts: dict[str, str]
    signatures: tuple[SignatureFacts, ...]
    findings: tuple[str, ...]

    @property
    def checksum_right(self) -> bool:
        """Whether the header's checksum is the file's; UEFI does not look at it."""
        return self.checksum == self.right_checksum


@dataclass(frozen=True)
class Digests:
    """What comes of reading the whole file once."""

    sha256: str
    authenticode: dict[str, str]
    checksum: int


class _Words:
    """The checksum of PE files: a ones' complement sum of 16-bit words, plus the length."""

    def __init__(self) -> None:
        self._sum = 0
        self._some = False

    def update(self, data: bytes) -> None:
        """The next bytes; an even number of them, but for the last."""
        number = int.from_bytes(data, "little")
        self._some = self._some or number > 0
        self._sum = (self._sum + number) % 0xFFFF  # 2^16 is 1 modulo 2^16 - 1

    def result(self, without: int, size: int) -> int:
        """The checksum of a file with `without` in the place of the checksum."""
        left = (self._sum - without) % 0xFFFF
        return (left or (0xFFFF if self._some else 0)) + size & 0xFFFFFFFF


def _kept(data: bytes, position: int, holes: Iterable[tuple[int, int]]) -> Iterator[bytes]:
    """A piece of a file without the holes (start, end), which are in order."""
    start, end = position, position + len(data)
    for hole_start, hole_end in holes:
        if hole_end <= start or hole_start >= end:
            continue
        if hole_start > start:
            yield data[start - position : hole_start - position]
        start = min(hole_end, end)
    yield data[start - position :]


def digests(pieces: Iterable[bytes], holes: list[tuple[int, int]], checksum: int) -> Digests:
    """Digests of a file; `holes` are what Authenticode leaves out, `checksum` the header's."""
    whole = hashlib.sha256()
    signed = {name: hashlib.new(name) for name in ("sha1", "sha256", "sha384", "sha512")}
    words, position, hashed = _Words(), 0, 0
    for piece in pieces:
        whole.update(piece)
        words.update(piece)
        for kept in _kept(piece, position, holes):
            hashed += len(kept)
            for digest in signed.values():
                digest.update(kept)
        position += len(piece)
    for digest in signed.values():
        digest.update(bytes(-position % 8))  # as signing tools pad the file
    return Digests(
        whole.hexdigest(),
        {name: digest.hexdigest() for name, digest in signed.items()},
        words.result(checksum, position),
    )


def facts_of_pieces(pieces: Iterable[bytes], name: str) -> PeFacts:
    """The facts of a file; raises PeError if it is no PE file.

    It is kept in a temporary file meanwhile, for pefile to map.
    """
    with tempfile.TemporaryFile(prefix="zpp-image-") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        return _facts(file, name)


def _parse(data: mmap.mmap, name: str) -> Any:
    import pefile  # noqa: PLC0415

    try:
        return pefile.PE(data=data, fast_load=True)
    except pefile.PEFormatError as error:
        reason = str(error).strip("'\"").rstrip(".")
        raise PeError(f"is no PE file, or a truncated one: {reason}", where=name) from None
    except Exception as error:
        raise PeError(f"is no PE file: {type(error).__name__}", where=name) from None


@contextmanager
def _parsed(file: Any, name: str) -> Iterator[Any]:
    """The parsed file; not opened by its name, for then pefile collects all garbage at the end."""
    if not os.fstat(file.fileno()).st_size:
        raise PeError("is no PE file: it is empty", where=name)
    data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        yield _parse(data, name)
    finally:
        with suppress(BufferError):
            data.close()


def _pieces(file: Any) -> Iterator[bytes]:
    file.seek(0)
    while piece := file.read(CHUNK):
        yield piece


def _facts(file: Any, name: str) -> PeFacts:
    with _parsed(file, name) as pe:
        size = os.fstat(file.fileno()).st_size
        header, optional = pe.FILE_HEADER, pe.OPTIONAL_HEADER
        offset, length = _security(pe)
        holes = _holes(pe, offset, length)
        sums = digests(_pieces(file), holes, optional.CheckSum)
        table = _range(file, offset, min(length, MAX_TABLE))
        sections = tuple(_section(section, size) for section in pe.sections)
        texts = _texts(file, pe.sections)
        return PeFacts(
            size=size,
            machine=_machine(header.Machine),
            subsystem=_subsystem(optional.Subsystem),
            bits=64 if optional.Magic == PE32_PLUS else 32,
            entry_point=optional.AddressOfEntryPoint,
            image_base=optional.ImageBase,
            image_size=optional.SizeOfImage,
            timestamp=header.TimeDateStamp,
            nx_compatible=bool(optional.DllCharacteristics & NX_COMPAT),
            checksum=optional.CheckSum,
            right_checksum=sums.checksum,
            sha256=sums.sha256,
            authenticode_sha256=sums.authenticode["sha256"],
            sections=sections,
            imports=_imports(pe),
            sbat=tuple(line for line in texts.pop(".sbat", "").splitlines() if line),
            texts=texts,
            signatures=signatures(table, sums.authenticode),
            findings=tuple(_findings(pe, size, offset, length)),
        )


def _machine(number: int) -> str:
    return MACHINE_TEXT[Machine(number)] if number in set(Machine) else f"machine 0x{number:04x}"


def _subsystem(number: int) -> str:
    if number in set(Subsystem):
        return SUBSYSTEM_TEXT[Subsystem(number)]
    return f"subsystem {number}"


def _security(pe: Any) -> tuple[int, int]:
    """Offset and size of the certificate table; (0, 0) without one."""
    directories = pe.OPTIONAL_HEADER.DATA_DIRECTORY
    if len(directories) <= DIRECTORY_SECURITY or not directories[DIRECTORY_SECURITY].Size:
        return 0, 0
    entry = directories[DIRECTORY_SECURITY]
    return entry.VirtualAddress, entry.Size


def _holes(pe: Any, offset: int, length: int) -> list[tuple[int, int]]:
    """What Authenticode leaves out: checksum, certificate table's entry, the table itself."""
    start = pe.OPTIONAL_HEADER.get_file_offset() + 64
    holes = [(start, start + 4)]
    directories = pe.OPTIONAL_HEADER.DATA_DIRECTORY
    if len(directories) > DIRECTORY_SECURITY:
        entry = directories[DIRECTORY_SECURITY].get_file_offset()
        holes.append((entry, entry + 8))
    if length:
        holes.append((offset, offset + length))
    return sorted(holes)


def _range(file: Any, offset: int, length: int) -> bytes:
    """A part of the file, as far as it is there."""
    file.seek(offset)
    data: bytes = file.read(length)
    return data


def _name(section: Any) -> str:
    name: str = section.Name.split(b"\0", 1)[0].decode("latin-1")
    return printable(name)


def _section(section: Any, size: int) -> SectionFacts:
    flags = section.Characteristics
    letters = zip("rwx", (READ, WRITE, EXECUTE), strict=True)
    findings = []
    if flags & WRITE and flags & EXECUTE:
        findings.append("writable and executable (W^X)")
    if section.SizeOfRawData and section.PointerToRawData + section.SizeOfRawData > size:
        findings.append("goes past the end of the file")
    return SectionFacts(
        name=_name(section),
        address=section.VirtualAddress,
        size=section.Misc_VirtualSize,
        offset=section.PointerToRawData,
        raw_size=section.SizeOfRawData,
        access="".join(letter if flags & bit else "-" for letter, bit in letters),
        findings=tuple(findings),
    )


def _texts(file: Any, sections: Iterable[Any]) -> dict[str, str]:
    """The sections that are text, without their padding."""
    texts = {}
    for section in sections:
        name = _name(section)
        if name in TEXT_SECTIONS and name not in texts:
            length = min(section.SizeOfRawData, section.Misc_VirtualSize, MAX_TEXT)
            data = _range(file, section.PointerToRawData, length)
            texts[name] = data.rstrip(b"\0\n").decode("utf-8", "replace")
    return texts


def _imports(pe: Any) -> tuple[str, ...]:
    """Imported names; UEFI programs have none."""
    import pefile  # noqa: PLC0415

    try:
        pe.parse_data_directories([pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_IMPORT"]])
    except Exception:
        return ("(an import table that cannot be read)",)
    names = []
    for library in getattr(pe, "DIRECTORY_ENTRY_IMPORT", ())[:MAX_IMPORTS]:
        for symbol in library.imports[:MAX_IMPORTS]:
            what = symbol.name or f"#{symbol.ordinal}".encode()
            names.append(f"{library.dll.decode('latin-1')}!{what.decode('latin-1')}")
    return tuple(names[:MAX_IMPORTS])


def _findings(pe: Any, size: int, offset: int, length: int) -> Iterator[str]:
    optional = pe.OPTIONAL_HEADER
    if pe.FILE_HEADER.Machine not in set(Machine):
        yield "its machine is unknown to UEFI"
    if optional.Subsystem not in set(Subsystem):
        yield "it is no UEFI program"
    if len(pe.sections) != pe.FILE_HEADER.NumberOfSections:
        yield "it is truncated within its section table"
    if length and offset + length > size:
        yield "its certificate table goes past the end of the file"
    elif length and offset + length < size:
        yield "there are bytes after its certificate table"
    if optional.SectionAlignment < PAGE:
        yield f"its sections are aligned to {optional.SectionAlignment} bytes, less than a page"
