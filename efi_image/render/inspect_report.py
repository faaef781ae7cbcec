"""The facts about images and PE files, and their differences, as lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from efi_image.errors import printable
from efi_image.formats.disk import Scheme
from efi_image.formats.files import Kind
from efi_image.formats.pe.authenticode import SignatureFacts
from efi_image.inspect.difference import Change, Difference
from efi_image.inspect.image import FileFacts, ImageFacts, PartitionFacts, VolumeFacts
from efi_image.inspect.pe import PeFacts
from efi_image.render.text import aligned, human, table, tree, widths_of

LABEL_WIDTH = 18
SIGNS = {Change.ADDED: "+", Change.REMOVED: "-", Change.CHANGED: "~"}


def _row(label: str, value: str) -> str:
    return printable(f"{label:{LABEL_WIDTH}} {value}")


# ---- PE files


def pe_lines(name: str, facts: PeFacts) -> Iterator[str]:
    """The lines about a PE file."""
    yield printable(f"{name}: {facts.subsystem} for {facts.machine}, {human(facts.size)}")
    yield _row("size", f"{facts.size} bytes, {facts.image_size} in memory")
    yield _row("entry point", f"0x{facts.entry_point:x}, image base 0x{facts.image_base:x}")
    yield _row("timestamp", _timestamp(facts.timestamp))
    yield _row("NX compatible", "yes" if facts.nx_compatible else "no")
    yield _row("checksum", _checksum(facts))
    yield _row("SHA-256", facts.sha256)
    yield _row("Authenticode", f"{facts.authenticode_sha256} (SHA-256)")
    yield _row("signatures", "" if facts.signatures else "none")
    for signature in facts.signatures:
        yield printable(f"  {_signature(signature)}")
    yield _row("imports", "" if facts.imports else "none")
    yield from (printable(f"  {name}") for name in facts.imports)
    if facts.sbat:
        yield "SBAT"
        yield from (printable(f"  {line}") for line in facts.sbat)
    for section, text in facts.texts.items():
        yield printable(section)
        yield from (printable(f"  {line}") for line in text.splitlines())
    yield "sections"
    yield from (f"  {line}" for line in _sections(facts))
    yield from (f"! {finding}" for finding in facts.findings)


def _timestamp(seconds: int) -> str:
    try:
        date = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"0x{seconds:08x}"
    return f"0x{seconds:08x} ({date}, or a digest)" if seconds else "0"


def _checksum(facts: PeFacts) -> str:
    shown = f"0x{facts.checksum:08x}"
    if facts.checksum_right:
        return f"{shown}, correct"
    verdict = "not set" if facts.checksum == 0 else "wrong"
    return f"{shown}, {verdict}; 0x{facts.right_checksum:08x} would be correct (UEFI ignores it)"


def _signature(signature: SignatureFacts) -> str:
    if signature.fault:
        return f"! {signature.fault}"
    verdict = "matches this file" if signature.matches else "! does NOT match this file"
    if not signature.intact:
        verdict += ", ! is invalid"
    return f"{signature.signer}, issued by {signature.issuer} ({signature.algorithm}), {verdict}"


def _sections(facts: PeFacts) -> Iterator[str]:
    rows = [("name", "address", "size", "offset", "in file", "access", "")]
    for s in facts.sections:
        numbers = (f"0x{s.address:x}", str(s.size), f"0x{s.offset:x}", str(s.raw_size))
        finding = "! " + "; ".join(s.findings) if s.findings else ""
        rows.append((s.name, *numbers, s.access, finding))
    return table(rows, "<>>>><<")


# ---- images


def image_lines(facts: ImageFacts, *, as_tree: bool = False) -> Iterator[str]:
    """The lines about an image."""
    about = f"{facts.scheme.value}, sectors of {facts.sector_size} bytes"
    if facts.scheme is Scheme.UNKNOWN:
        about = "no known partition table or volume"
    yield printable(f"{facts.name}: {human(facts.size)}, {about}")
    if facts.content:
        yield _row("content", facts.content)
    if facts.disk_id:
        yield _row("disk", facts.disk_id)
    yield from (_row("table", line) for line in facts.table)
    for partition in facts.partitions:
        yield ""
        yield from _partition(partition)
        if partition.volume:
            yield from _volume(partition.volume, as_tree)


def _partition(partition: PartitionFacts) -> Iterator[str]:
    title = f"{partition.name}: {partition.type}"
    yield printable(f"{title} '{partition.label}'" if partition.label else title)
    yield _row(
        "location", f"byte {partition.start}, {partition.size} bytes ({human(partition.size)})"
    )
    if partition.guid:
        yield _row("GUID", partition.guid)
    if partition.fault:
        yield _row("! fault", partition.fault)
    elif partition.volume is None:
        yield _row("content", partition.content or "unknown")


def _volume(volume: VolumeFacts, as_tree: bool) -> Iterator[str]:
    yield _row("volume", f"{volume.format} '{volume.label}'" if volume.label else volume.format)
    if volume.serial:
        yield _row("serial", volume.serial)
    if volume.clusters:
        sizes = f"{volume.clusters} of {volume.cluster_size} bytes"
        free = "the FAT cannot be read" if volume.free < 0 else f"{human(volume.free)} free"
        yield _row("clusters", f"{sizes}, {free}; sectors of {volume.sector_size} bytes")
    yield from (_row("El Torito", entry) for entry in volume.boot_entries)
    if volume.unread:
        yield _row("! not read", volume.unread)
    if as_tree:
        rows = volume.files.tree()
        yield from tree((depth, is_last, _in_tree(file)) for depth, is_last, file in rows)
    else:
        widths = widths_of(_cells(file) for file in volume.files.outlines())
        cells = ((*_cells(file), _about(file)) for file in volume.files)
        yield from (f"  {line}" for line in aligned(cells, widths, "<>><<"))
    yield from (_row("! fault", fault) for fault in volume.faults)


def _cells(file: FileFacts) -> tuple[str, str, str, str]:
    size = str(file.size) if file.kind is Kind.FILE else ""
    return file.attributes or "-", size, file.modified, _shown(file)


def _names(path: str) -> list[str]:
    return path.split("\\")[1:]


def _shown(file: FileFacts) -> str:
    mark = "\\" if file.kind is Kind.DIRECTORY else ""
    return f"{file.path}{mark} -> {file.target}" if file.target else f"{file.path}{mark}"


def _in_tree(file: FileFacts) -> str:
    name = _names(_shown(file))[-1] if file.kind is not Kind.DIRECTORY else _names(file.path)[-1]
    if file.kind is not Kind.FILE:
        return name + ("\\" if file.kind is Kind.DIRECTORY else "")
    about = _about(file)
    return f"{name}  {human(file.size)}{', ' + about if about else ''}"


def _about(file: FileFacts) -> str:
    """A short description of a PE file."""
    if file.fault:
        return f"! {file.fault}"
    if file.pe is None:
        return ""
    pe = file.pe
    signed = "signed" if pe.signatures else "unsigned"
    if any(not s.matches or not s.intact for s in pe.signatures):
        signed = "! signature is invalid"
    found = [f for section in pe.sections for f in section.findings] + list(pe.findings)
    words = [f"{pe.subsystem}, {pe.machine}", signed]
    if found:
        words.append(f"! {len(found)} finding{'s' if len(found) > 1 else ''}")
    return ", ".join(words)


# ---- differences


def difference_line(each: Difference) -> str:
    """The line about a difference."""
    values = f": {each.old} → {each.new}" if each.old or each.new else ""
    if each.change is not Change.CHANGED:
        only = each.new or each.old
        values = f" ({only})" if only else ""
    cause = f" ({each.cause})" if each.cause else ""
    return printable(f"{SIGNS[each.change]} {each.where}: {each.what}{values}{cause}")
