"""The boot path, PE files and zpp.conf: on volumes with one thing wrong each."""

from __future__ import annotations

from pathlib import Path

import oracles
import pytest
from initrds import CPIO, INITRDS, NO_INITRDS
from makepe import APPLICATION, BOOT_DRIVER, make_pe
from pedamage import AA64, DAMAGES, PeDamage
from trees import tree_of

from efi_image.build.image import make_image
from efi_image.build.options import ResolvedOptions
from efi_image.build.partitions import Table
from efi_image.formats.fat import FatType, Tree, VolumeContents, VolumeIdentity, parse_path, plan
from efi_image.formats.fat.geometry import choose
from efi_image.formats.pe.uefi import Machine
from efi_image.io.sink import Sink
from efi_image.io.source import BytesSource
from efi_image.verify import Options, Report, verify

BOOT = "\\EFI\\BOOT\\BOOTX64.EFI"
CONF = "\\EFI\\zpp\\zpp.conf"
DRIVER = "\\EFI\\zpp\\ZppDxe.efi"
ENTRY = "\\loader\\entries\\debian.conf"
GOOD = make_pe()


def volume(tmp_path: Path, files: dict[str, bytes]) -> Path:
    """A FAT volume with these files."""
    tree = Tree()
    for path, data in files.items():
        tree.add(parse_path(path), BytesSource(path, data))
    image = tmp_path / "volume.img"
    contents = VolumeContents(tree)
    layout = choose(4096, 512, contents.fits, FatType.FAT12)
    assert layout
    planned = plan(contents, VolumeIdentity(1, "LABEL", 0), layout)
    with image.open("wb") as file:
        sink = Sink(file.fileno(), str(image))
        planned.write(sink)
        sink.finish()
    return image


def codes(report: Report) -> set[str]:
    return {finding.rule.code.removeprefix("ZPP-") for finding in report.findings}


def found(tmp_path: Path, files: dict[str, bytes], **options: object) -> set[str]:
    return codes(verify(volume(tmp_path, files), Options(**options)))  # type: ignore[arg-type]


def test_sound_program(tmp_path: Path) -> None:
    assert found(tmp_path, {BOOT: GOOD}) == set()


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_program(tmp_path: Path, damage: PeDamage) -> None:
    assert found(tmp_path, {BOOT: damage.make(b"\xc3")}) == damage.rules


@pytest.mark.parametrize("name", ["IA32", "X64", "ARM", "AA64", "RISCV64", "LOONGARCH64"])
def test_name_and_machine(tmp_path: Path, name: str) -> None:
    program = {f"\\EFI\\BOOT\\BOOT{name}.EFI": make_pe(Machine[name])}
    assert found(tmp_path, program) == set()
    assert found(tmp_path, program, machines=(Machine[name],)) == set()
    wanted = Machine.X64 if name != "X64" else Machine.AA64
    assert found(tmp_path, program, machines=(wanted,)) == {"B110"}


def test_no_boot_program(tmp_path: Path) -> None:
    assert found(tmp_path, {"\\README.TXT": b"text"}) == {"B101"}
    assert found(tmp_path, {"\\BOOTX64.EFI": GOOD}) == {"B101"}


@pytest.mark.parametrize("path", ["\\EFI\\BOOT\\bootx64.efi", "\\efi\\boot\\BOOTX64.EFI"])
def test_lower_case(tmp_path: Path, path: str) -> None:
    assert found(tmp_path, {path: GOOD}) == {"B102"}


@pytest.mark.parametrize("data", INITRDS.values(), ids=INITRDS)
def test_valid_initrds(tmp_path: Path, data: bytes) -> None:
    assert found(tmp_path, _with_initrd(data)) == set()


@pytest.mark.parametrize("data", [data for data, _ in NO_INITRDS.values()], ids=NO_INITRDS)
def test_initrds_that_linux_cannot_use(tmp_path: Path, data: bytes) -> None:
    report = verify(volume(tmp_path, _with_initrd(data)))
    places = {(finding.rule.code, finding.location.path) for finding in report.findings}
    assert places == {("ZPP-B114", "\\i"), ("ZPP-C108", "\\j")}


def _with_initrd(data: bytes) -> dict[str, bytes]:
    """Files of a volume where both zpp.conf and a loader entry name an initrd."""
    conf = b"hypervisor = off\n[a]\npath = \\k.efi\ninitrd = \\j\n"
    entry = b"linux /k.efi\ninitrd /i\n"
    return {BOOT: GOOD, "\\k.efi": GOOD, "\\i": data, "\\j": data, CONF: conf, ENTRY: entry}


def test_programs_with_overlapping_sections(tmp_path: Path) -> None:
    """Wherever they are: at the boot path, named by zpp.conf or by a loader entry."""
    overlap = next(d for d in DAMAGES if d.name == "sections overlap").make(b"\xc3")
    conf = b"hypervisor = off\n[a]\npath = \\a.efi\n[b]\npath = \\b\n"
    files = {"\\a.efi": overlap, "\\b": overlap, "\\c": overlap, "\\unused": overlap}
    report = verify(
        volume(tmp_path, {BOOT: overlap, CONF: conf, ENTRY: b"linux /c\nefi /c", **files})
    )
    places = [(finding.rule.code, finding.location.path) for finding in report.findings]
    assert sorted(places) == [("ZPP-B106", path) for path in (BOOT, "\\a.efi", "\\b", "\\c")]


def test_other_programs(tmp_path: Path) -> None:
    drivers = {BOOT: GOOD, "\\EFI\\drivers\\disk.efi": make_pe(subsystem=BOOT_DRIVER)}
    assert found(tmp_path, drivers) == set()
    assert found(tmp_path, {BOOT: GOOD, "\\tool.efi": b"MZ"}) == {"B111"}
    assert found(tmp_path, {BOOT: GOOD, "\\tool.efi": make_pe(subsystem=3)}) == {"B111"}


def conf(text: str) -> bytes:
    return text.encode()


@pytest.mark.parametrize(
    ("files", "rules"),
    [
        pytest.param({CONF: b"", DRIVER: make_pe(subsystem=BOOT_DRIVER)}, set(), id="default"),
        pytest.param({CONF: b""}, {"C102"}, id="no driver"),
        pytest.param({CONF: b"hypervisor = off\n"}, set(), id="no driver needed"),
        pytest.param({CONF: b"", DRIVER: GOOD}, {"C103"}, id="driver is an application"),
        pytest.param({CONF: b"", DRIVER: b"MZ"}, {"C103", "B111"}, id="driver is rubbish"),
        pytest.param(
            {CONF: b"", DRIVER: make_pe(AA64, BOOT_DRIVER)}, {"C103"}, id="driver for Arm"
        ),
        pytest.param({CONF: b"hypervisor = maybe"}, {"C101"}, id="bad value"),
        pytest.param({CONF: b"\xff\xfe"}, {"C101"}, id="no text"),
        pytest.param({CONF: b"#" * 70000}, {"C101"}, id="too large"),
        pytest.param(
            {CONF: b"hypervisor=off\ndefault=a\n[a]\npath=\\k.efi\n", "\\k.efi": GOOD},
            set(),
            id="k",
        ),
        pytest.param({CONF: b"hypervisor=off\n[a]\npath=\\k.efi\n"}, {"C104"}, id="no kernel"),
        pytest.param({CONF: b"hypervisor=off\n[a]\npath=..\\k\n"}, {"C104"}, id="path with .."),
        pytest.param(
            {CONF: b"hypervisor=off\n[a]\npath=\\K\n", "\\k": b"no kernel"},
            {"C105"},
            id="bad kernel",
        ),
        pytest.param(
            {CONF: b"hypervisor=off\n[a]\npath=\\K\ninitrd=\\i\n", "\\k": GOOD},
            {"C106"},
            id="no initrd",
        ),
    ],
)
def test_conf(tmp_path: Path, files: dict[str, bytes], rules: set[str]) -> None:
    assert found(tmp_path, {BOOT: GOOD, **files}) == rules


@pytest.mark.parametrize(
    ("entry", "rules"),
    [
        pytest.param("title Debian\nlinux /k.efi\ninitrd\t/i\n", set(), id="all there"),
        pytest.param("linux \\K.EFI\ninitrd /i /i $more\noptions root=/dev/x", set(), id="GRUB"),
        pytest.param("# linux /gone\nlinux-x /gone\nlinux /k.efi", set(), id="other keys"),
        pytest.param("linux /gone", {"B113"}, id="no kernel"),
        pytest.param("  efi  /loader", {"B113"}, id="a directory"),
        pytest.param("linux", {"B113"}, id="no value"),
        pytest.param("linux /../k.efi", {"B113"}, id="above the root"),
        pytest.param("linux /k.efi\ninitrd /i /gone", {"B113"}, id="no initrd"),
        pytest.param("linux /k.efi\ndevicetree /gone.dtb", {"B113"}, id="no device tree"),
        pytest.param("linux /text", {"B111"}, id="not a kernel"),
        pytest.param("linux /k.efi\ninitrd /text\ninitrd /i", {"B114"}, id="not an initrd"),
        pytest.param("linux /k.efi\ninitrd /empty", {"B114"}, id="empty"),
        pytest.param("linux /k.efi\ninitrd /empty /i", set(), id="one empty"),
    ],
)
def test_loader_entries(tmp_path: Path, entry: str, rules: set[str]) -> None:
    files = {BOOT: GOOD, "\\k.efi": GOOD, "\\i": CPIO, "\\empty": b"", "\\text": b"a text" * 9}
    assert found(tmp_path, {**files, ENTRY: entry.encode()}) == rules
    assert found(tmp_path, {**files, "\\loader\\entries\\note.txt": entry.encode()}) == set()


@pytest.mark.parametrize(
    ("default", "rules"),
    [("debian.conf", set()), ("DEB*.conf", set()), ("linux.efi", set()), ("*", set()),
     ("other.conf", {"C107"}), ("debian+1-2.conf", {"C107"}), ("debian-*", {"C107"}),
     ("[d]*", {"C107"}), ("linux", {"C101"})],
)  # fmt: skip
def test_default_loader_entry(tmp_path: Path, default: str, rules: set[str]) -> None:
    files = {
        BOOT: GOOD,
        CONF: f"hypervisor = off\ndefault = {default}\n".encode(),
        "\\loader\\entries\\debian+1-2.conf": b"linux /k.efi",
        "\\EFI\\Linux\\linux.efi": GOOD,
        "\\EFI\\Linux\\other.conf": b"",
        "\\k.efi": GOOD,
    }
    assert found(tmp_path, files) == rules


@pytest.mark.parametrize("sector_size", [512, 4096])
@pytest.mark.parametrize("partitioned", [True, False])
@pytest.mark.parametrize("size", [4 << 20, 20 << 20, 64 << 20, 600 << 20])
def test_made_images_are_clean(
    tmp_path: Path, sector_size: int, partitioned: bool, size: int
) -> None:
    image = tmp_path / "made.img"
    files = {
        BOOT: GOOD,
        "\\a directory\\Ein längerer Name.txt": b"text",
        "\\a directory\\Ein längerer Name 2.txt": b"text",
    }
    table = Table.GPT if partitioned else Table.NONE
    asked = ResolvedOptions(image, size=size, table=table, sector_size=sector_size)
    make_image(asked, tree_of(files))
    options = Options(sector_size=sector_size, machines=(Machine.X64,))
    assert verify(image, options).findings == ()
    # the other sector size does not fit
    other = verify(image, Options(sector_size=4608 - sector_size))
    assert codes(other) == ({"D104"} if partitioned else {"F125"})


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("mkfs.fat", "-F 12 -S 512 -C {} 1440"),
        ("mkfs.fat", "-F 12 -S 4096 -C {} 4000"),
        ("mkfs.fat", "-F 16 -S 512 -C {} 20000"),
        ("mkfs.fat", "-F 16 -S 4096 -s 1 -C {} 40000"),
        ("mkfs.fat", "-F 16 -S 1024 -f 1 -C {} 20000"),
        ("mkfs.fat", "-F 32 -S 512 -C {} 300000"),
        ("mkfs.fat", "-F 32 -S 2048 -s 1 -C {} 200000"),
        ("mkfs.fat", "-F 32 -S 4096 -s 1 -C {} 300000"),
        ("mformat", "-C -f 1440 -i {} ::"),
        ("mformat", "-C -T 40960 -h 16 -s 63 -i {} ::"),
        ("mformat", "-C -F -T 204800 -h 64 -s 32 -c 1 -i {} ::"),
        ("mformat", "-C -v LABEL -T 40960 -h 16 -s 63 -i {} ::"),
    ],
)
def test_volumes_of_others_have_no_error(tmp_path: Path, tool: str, arguments: str) -> None:
    image = tmp_path / "other.img"
    oracles.run(tool, *arguments.format(image).split())
    report = verify(image)
    assert codes(report) - {"F118"} == {"B101"}  # it is empty
    assert oracles.verdict("fsck.fat", "-n", image)


def test_small_fat32_that_firmware_refuses(tmp_path: Path) -> None:
    image = tmp_path / "small.img"
    oracles.run("mkfs.fat", "-F", "32", "-s", "8", "-C", image, "65536")
    assert oracles.verdict("fsck.fat", "-n", image)  # it only warns
    assert codes(verify(image)) == {"F121", "B101"}
    assert APPLICATION == 10


def test_long_names_that_differ_in_case_only(tmp_path: Path) -> None:
    image = volume(tmp_path, {BOOT: GOOD, "\\a name.text": b"1", "\\b name.text": b"2"})
    data = image.read_bytes()
    assert data.count("b name".encode("utf-16-le")[:10]) == 1
    wrong = data.replace("b name".encode("utf-16-le")[:10], "A name".encode("utf-16-le")[:10])
    image.write_bytes(wrong)
    assert codes(verify(image)) == {"F409"}


def test_deep_directories(tmp_path: Path) -> None:
    deep = "\\d" * 130 + "\\file"
    report = verify(volume(tmp_path, {BOOT: GOOD, deep: b"text"}))
    assert "F416" in codes(report)
    assert not any(finding.fix for finding in report.findings)  # frees nothing that it did not see


def test_no_room_for_a_backup(tmp_path: Path) -> None:
    image = tmp_path / "image"
    oracles.run("mkfs.fat", "-F", "32", "-s", "1", "-R", "2", "-C", image, "33600")
    assert codes(verify(image)) == {"F306", "B101"}
    assert oracles.verdict("fsck.fat", "-n", image)
