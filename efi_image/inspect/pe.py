"""Facts about a PE file, valid or not; pefile is loaded only to look at one."""

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
from efi_image.formats.pe.authenticode import SignatureFacts, SignedContent, describe_signatures
from efi_image.formats.pe.headers import (
    EXECUTE,
    PE32_PLUS,
    READ,
    WRITE,
    PeHeader,
    ReadAt,
    read_headers,
)
from efi_image.formats.pe.uefi import (
    PAGE,
    SUBSYSTEM_TEXT,
    FaultKind,
    find_faults,
    machine_text,
    subsystem_text,
)

NX_COMPAT = 0x0100
CHUNK = 1 << 20
MAX_TEXT = 16 << 10  # bytes of a section that is text
MAX_IMPORTS = 4096
# sections of a unified kernel image, and of shim's generation numbers, that are text
TEXT_SECTIONS = (".sbat", ".osrel", ".cmdline", ".uname")


@dataclass(frozen=True, slots=True)
class SectionFacts:
    """A section: place and size in memory and in the file, in bytes; `access` as in `r-x`."""

    name: str
    address: int
    size: int
    offset: int
    raw_size: int
    access: str
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PeFacts:
    """A PE file: its kind, parts, digests, signatures and faults (`findings`); sizes in bytes.

    `right_checksum` is the one that the file should have; UEFI ignores it.
    """

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
        """Whether the checksum in the header is correct."""
        return self.checksum == self.right_checksum


class _Checksum:
    """The checksum of PE files: a ones' complement sum of 16-bit words, plus the size."""

    def __init__(self) -> None:
        self._sum = 0
        self._is_zero = True

    def update(self, data: bytes) -> None:
        """Take the next bytes, an even number of them unless they are the last."""
        number = int.from_bytes(data, "little")
        self._is_zero = self._is_zero and not number
        self._sum = (self._sum + number) % 0xFFFF  # 2^16 is 1 modulo 2^16 - 1

    def result(self, field: int, size: int) -> int:
        """The checksum of a file of `size` bytes that has `field` where the checksum is."""
        rest = (self._sum - field) % 0xFFFF
        return (rest or (0 if self._is_zero else 0xFFFF)) + size & 0xFFFFFFFF


def pe_facts(pieces: Iterable[bytes], name: str) -> PeFacts:
    """The facts of a file whose bytes are `pieces`; `name` is for messages.

    Raises PeError if it is not a PE file. The bytes are kept in a temporary file for pefile.
    """
    with tempfile.TemporaryFile(prefix="zpp-image-") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        with _mapped(file, name) as data:
            return _facts(data, _parse(data, name), name)


@contextmanager
def _mapped(file: Any, name: str) -> Iterator[mmap.mmap]:
    """The file in memory: when pefile opens one by its name, it collects all garbage at the end."""
    if not os.fstat(file.fileno()).st_size:
        raise PeError("is not a PE file: it is empty", where=name)
    data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        yield data
    finally:
        with suppress(BufferError):
            data.close()


def _parse(data: mmap.mmap, name: str) -> Any:
    import pefile  # noqa: PLC0415

    try:
        return pefile.PE(data=data, fast_load=True)
    except pefile.PEFormatError as error:
        reason = str(error).strip("'\"").rstrip(".")
        raise PeError(f"is not a PE file, or is truncated: {reason}", where=name) from None
    except Exception as error:
        raise PeError(f"is not a PE file: {type(error).__name__}", where=name) from None


def _facts(data: mmap.mmap, pe: Any, name: str) -> PeFacts:
    size = len(data)
    header, optional = pe.FILE_HEADER, pe.OPTIONAL_HEADER

    def read_at(offset: int, count: int) -> bytes:
        return data[offset : offset + count]

    headers = read_headers(read_at, name)
    content = SignedContent(headers, read_at, size)
    checksum, whole = _Checksum(), hashlib.sha256()
    for start in range(0, size, CHUNK):
        piece = data[start : start + CHUNK]
        whole.update(piece)
        checksum.update(piece)
    texts = _texts(data, pe.sections)
    return PeFacts(
        size=size,
        machine=machine_text(header.Machine),
        subsystem=subsystem_text(optional.Subsystem),
        bits=64 if optional.Magic == PE32_PLUS else 32,
        entry_point=optional.AddressOfEntryPoint,
        image_base=optional.ImageBase,
        image_size=optional.SizeOfImage,
        timestamp=header.TimeDateStamp,
        nx_compatible=bool(optional.DllCharacteristics & NX_COMPAT),
        checksum=optional.CheckSum,
        right_checksum=checksum.result(optional.CheckSum, size),
        sha256=whole.hexdigest(),
        authenticode_sha256=content.digests["sha256"],
        sections=tuple(_section(section, size) for section in pe.sections),
        imports=_imports(pe),
        sbat=tuple(line for line in texts.pop(".sbat", "").splitlines() if line),
        texts=texts,
        signatures=describe_signatures(content.certificates, content.digests),
        findings=tuple(_findings(headers, pe, size, read_at)),
    )


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
        findings.append("ends beyond the end of the file")
    return SectionFacts(
        name=_name(section),
        address=section.VirtualAddress,
        size=section.Misc_VirtualSize,
        offset=section.PointerToRawData,
        raw_size=section.SizeOfRawData,
        access="".join(letter if flags & bit else "-" for letter, bit in letters),
        findings=tuple(findings),
    )


def _texts(data: mmap.mmap, sections: Iterable[Any]) -> dict[str, str]:
    """The sections that are text, without their padding."""
    texts: dict[str, str] = {}
    for section in sections:
        name, start = _name(section), section.PointerToRawData
        if name in TEXT_SECTIONS and name not in texts:
            length = min(section.SizeOfRawData, section.Misc_VirtualSize, MAX_TEXT)
            text = data[start : start + length]
            texts[name] = text.rstrip(b"\0\n").decode("utf-8", "replace")
    return texts


def _imports(pe: Any) -> tuple[str, ...]:
    """Imported names; UEFI programs have none."""
    import pefile  # noqa: PLC0415

    try:
        pe.parse_data_directories([pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_IMPORT"]])
    except Exception:
        return ("(the import table cannot be read)",)
    names = []
    for library in getattr(pe, "DIRECTORY_ENTRY_IMPORT", ())[:MAX_IMPORTS]:
        for symbol in library.imports[:MAX_IMPORTS]:
            name = symbol.name or f"#{symbol.ordinal}".encode()
            names.append(f"{library.dll.decode('latin-1')}!{name.decode('latin-1')}")
    return tuple(names[:MAX_IMPORTS])


def _findings(header: PeHeader, pe: Any, size: int, read_at: ReadAt) -> Iterator[str]:
    optional = pe.OPTIONAL_HEADER
    for fault in find_faults(header, size, read_at):
        if fault.kind is not FaultKind.UNALIGNED:
            yield f"{fault.kind.value}: {fault.reason}"
    certificates_end = sum(header.certificates)
    if optional.Subsystem not in SUBSYSTEM_TEXT:
        yield "it is not a UEFI program"
    if certificates_end > size:
        yield "its certificate table ends beyond the end of the file"
    elif 0 < certificates_end < size:
        yield "bytes follow its certificate table"
    if optional.SectionAlignment < PAGE:
        yield f"its sections are aligned to {optional.SectionAlignment} bytes, less than a page"
