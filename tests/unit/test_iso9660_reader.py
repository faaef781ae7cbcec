"""ISO 9660 images of genisoimage and xorriso, compared with the files and with isoinfo."""

from __future__ import annotations

import struct
from pathlib import Path

import oracles
import pytest
from foreign import contents, in_memory, mkfs, patched, sources
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_fat_reader import exercise

from efi_image.errors import InputError
from efi_image.formats.disk import open_disk
from efi_image.formats.files import Kind, find, walk
from efi_image.formats.iso9660.reader import IsoVolume
from efi_image.formats.iso9660.structures import SECTOR


def genisoimage(image: Path, top: Path, *options: str) -> Path:
    oracles.run("genisoimage", "-quiet", "-V", "LABEL", *options, "-o", image, top)
    return image


def read_all(image: Path) -> dict[str, bytes]:
    with open_disk(image) as disk:
        volume = disk.volume(disk.pick("iso"))
        assert volume.label == "LABEL"
        return {
            "/".join(path): b"".join(volume.chunks(node))
            for path, node in walk(volume)
            if node.kind is Kind.FILE
        }


@pytest.mark.parametrize("options", [("-R",), ("-J",), ("-R", "-J"), ("-J", "-joliet-long")])
def test_reads_long_names(tmp_path: Path, options: tuple[str, ...]) -> None:
    top = sources(tmp_path)
    assert read_all(genisoimage(tmp_path / "x.iso", top, *options)) == contents(top)


def test_reads_what_xorriso_writes(tmp_path: Path) -> None:
    top = sources(tmp_path)
    image = tmp_path / "x.iso"
    oracles.run("xorriso", "-as", "mkisofs", "-quiet", "-V", "LABEL", "-J", "-o", image, top)
    assert read_all(image) == contents(top)


def test_plain_names_are_those_of_isoinfo(tmp_path: Path) -> None:
    image = genisoimage(tmp_path / "x.iso", sources(tmp_path))
    listed = oracles.run("isoinfo", "-f", "-i", image).split()
    told = {line.removeprefix("/").split(";")[0].removesuffix(".") for line in listed}
    with open_disk(image) as disk:
        volume = disk.volume(disk.pick())
        assert {"/".join(path) for path, _ in walk(volume)} == told


def test_rock_ridge_links_modes_and_long_names(tmp_path: Path) -> None:
    top = tmp_path / "source"
    top.mkdir()
    long = "n" * 240 + ".txt"
    (top / long).write_bytes(b"x")
    (top / "link").symlink_to("../../" + "deep/" * 60 + "target")
    (top / "absolute").symlink_to("/etc/passwd")
    (top / "run.sh").write_bytes(b"#!")
    (top / "run.sh").chmod(0o750)
    image = tmp_path / "x.iso"
    oracles.run("xorriso", "-as", "mkisofs", "-quiet", "-o", image, top)
    with open_disk(image) as disk:
        volume = disk.volume(disk.pick())
        nodes = {node.name: node for _, node in walk(volume)}
    assert set(nodes) == {long, "link", "absolute", "run.sh"}
    assert nodes["link"].kind is Kind.LINK
    assert nodes["link"].target == "../../" + "deep/" * 60 + "target"
    assert nodes["absolute"].target == "/etc/passwd"
    assert nodes["run.sh"].attributes == "-rwxr-x---"


def test_directories_deeper_than_iso_9660_allows(tmp_path: Path) -> None:
    deep = tmp_path / "source"
    for number in range(12):
        deep = deep / f"d{number}"
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(b"deep")
    image = genisoimage(tmp_path / "x.iso", tmp_path / "source", "-R")
    path = "/".join(f"d{number}" for number in range(12)) + "/file"
    assert read_all(image)[path] == b"deep"


def test_el_torito_and_a_hybrid(tmp_path: Path) -> None:
    top = sources(tmp_path)
    mkfs(top / "efi.img", 1 << 20)
    image = tmp_path / "x.iso"
    oracles.run(
        "xorriso", "-as", "mkisofs", "-quiet", "-V", "LABEL", "-c", "boot.cat",
        "-e", "efi.img", "-no-emul-boot", "-isohybrid-gpt-basdat", "-o", image, top,
    )  # fmt: skip
    with open_disk(image) as disk:
        assert disk.is_iso
        volume = disk.volume(disk.pick("iso"))
        assert isinstance(volume, IsoVolume)
        (entry,) = volume.boot_entries()
        assert entry.platform == "EFI"
        assert entry.bootable
        assert disk.medium.read(entry.block * SECTOR + 510, 2) == b"\x55\xaa"
        _, node = find(volume, ("efi.img",))
        assert node.place.parts[0][0] == entry.block  # type: ignore[attr-defined]
    assert read_all(image)["EFI/BOOT/BOOTX64.EFI"] == contents(top)["EFI/BOOT/BOOTX64.EFI"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("iso")
    top = folder / "source"
    (top / "dir" / "below").mkdir(parents=True)
    (top / "dir" / "a long name.text").write_bytes(b"long" * 300)
    (top / "link").symlink_to("dir/a long name.text")
    return genisoimage(folder / "x.iso", top, "-R", "-no-pad").read_bytes()


def root_block(data: bytes) -> int:
    return int(struct.unpack_from("<I", data, 16 * SECTOR + 156 + 2)[0])


def test_a_directory_of_4_gib(small: bytes) -> None:
    data = patched(small, (16 * SECTOR + 156 + 10, b"\xff\xff\xff\xff"))
    with (
        in_memory(data) as medium,
        pytest.raises(InputError, match="directory of 4294967295 bytes"),
    ):
        list(walk(IsoVolume(medium)))


def test_a_record_that_ends_after_its_sector(small: bytes) -> None:
    data = patched(small, (root_block(small) * SECTOR + 32, b"\xff"))
    with in_memory(data) as medium, pytest.raises(InputError, match="broken directory"):
        list(walk(IsoVolume(medium)))


def test_not_an_iso(small: bytes) -> None:
    with (
        in_memory(small[: 16 * SECTOR]) as medium,
        pytest.raises(InputError, match="not an ISO 9660"),
    ):
        IsoVolume(medium)
    empty = patched(small, (16 * SECTOR, b"\x02"), (17 * SECTOR, b"\xff"))
    with in_memory(empty) as medium, pytest.raises(InputError, match="not an ISO 9660"):
        IsoVolume(medium)


@pytest.mark.slow
@given(data=st.data())
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_damaged_volume_never_hangs_or_crashes(small: bytes, data: st.DataObject) -> None:
    place = st.integers(16 * SECTOR, len(small) - 8)
    change = st.tuples(place, st.binary(min_size=1, max_size=4))
    changes = data.draw(st.lists(change, min_size=1, max_size=30))
    with in_memory(patched(small, *changes)) as medium:
        exercise(medium)
