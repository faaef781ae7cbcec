"""ls, cat and extract; above all that nothing is written outside of the target directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import oracles
import pytest
from foreign import MIB, contents, mkfs, patched, sources

from efi_image.cli.main import main
from efi_image.errors import InputError, OutputError, UsageError
from efi_image.formats.disk import open_disk
from efi_image.formats.files import split_path
from efi_image.inspect.extract import Extraction, extract, fault_of

Capture = pytest.CaptureFixture[str]


def extracted(image: Path, target: Path, *paths: str, replace: bool = False) -> Extraction:
    with open_disk(image) as disk:
        volume = disk.volume(disk.pick())
        return extract(volume, [split_path(path) for path in paths], target, replace=replace)


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.fixture
def top(tmp_path: Path) -> Path:
    return sources(tmp_path)


@pytest.fixture
def image(tmp_path: Path, top: Path) -> Path:
    return mkfs(tmp_path / "fat.img", 3 * MIB, source=top)


def test_all_of_a_volume(tmp_path: Path, image: Path, top: Path) -> None:
    done = extracted(image, tmp_path / "to")
    assert contents(tmp_path / "to") == contents(top)
    assert everything(tmp_path / "to") == everything(top)
    assert done.files == len(contents(top))
    assert done.size == sum(map(len, contents(top).values()))
    assert done.skipped == done.links == []


def test_progress_is_told_of_all_bytes(tmp_path: Path, image: Path, top: Path) -> None:
    told: list[tuple[int, int]] = []
    with open_disk(image) as disk:
        volume = disk.volume(disk.pick())
        extract(volume, [], tmp_path / "to", progress=lambda *count: told.append(count))
    whole = sum(map(len, contents(top).values()))
    assert told[-1] == (whole, whole)
    assert told == sorted(told)


def test_chosen_paths_keep_their_last_name(tmp_path: Path, image: Path, top: Path) -> None:
    extracted(image, tmp_path / "to", "/efi/boot", r"deep\er\est\DATA.BIN")
    assert everything(tmp_path / "to") == {"BOOT", "BOOT/BOOTX64.EFI", "data.bin"}
    assert (tmp_path / "to" / "data.bin").read_bytes() == contents(top)["deep/er/est/data.bin"]


def test_a_file_has_its_date(tmp_path: Path, image: Path) -> None:
    oracles.run("mcopy", "-n", "-i", image, "::/empty.bin", tmp_path / "by-mtools")
    with open_disk(image) as disk:
        rows = disk.volume(disk.pick()).children(disk.volume(disk.pick()).root)
        date = next(row.modified for row in rows if row.name == "empty.bin")
    extracted(image, tmp_path / "to", "empty.bin")
    assert date
    assert int((tmp_path / "to" / "empty.bin").stat().st_mtime) == int(
        date.replace(tzinfo=__import__("datetime").UTC).timestamp()
    )


def test_what_is_there_is_kept_unless_forced(tmp_path: Path, image: Path) -> None:
    target = tmp_path / "to"
    target.mkdir()
    (target / "empty.bin").write_text("mine")
    done = extracted(image, target, "empty.bin")
    assert "already exists" in done.skipped[0]
    assert (target / "empty.bin").read_text() == "mine"
    assert extracted(image, target, "empty.bin", replace=True).files == 1
    assert (target / "empty.bin").read_bytes() == b""


def test_paths_that_would_meet(tmp_path: Path, image: Path) -> None:
    with pytest.raises(UsageError, match="same last name"):
        extracted(image, tmp_path / "to", "/deep", "/deep/../deep".replace("/../deep", ""))


@pytest.mark.parametrize("path", ["../x", "/a/../../x", r"..\x"])
def test_a_path_has_no_parent(tmp_path: Path, image: Path, path: str) -> None:
    with pytest.raises(InputError, match="cannot have '..'"):
        extracted(image, tmp_path / "to", path)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "/etc/x", "a/b", "a\0b", "a\nb", "\x1b[2J", "\ud800", "x" * 256]
)
def test_names_that_are_none(name: str) -> None:
    assert fault_of(name)


@pytest.mark.parametrize("name", ["a", "a b", "...", "ünïcode", "a\\b", "C:", "-rf", "~"])
def test_names_that_are(name: str) -> None:
    assert fault_of(name) == ""


def hostile(folder: Path, short: bytes, *, directory: bool = False) -> Path:
    """A volume whose only file (below a directory or not) has that 8.3 name."""
    top = folder / "hostile"
    top.mkdir()
    if directory:
        (top / "AAAAAAAA").mkdir()
        (top / "AAAAAAAA" / "INNER").write_bytes(b"evil")
    else:
        (top / "AAAAAAAA").write_bytes(b"evil")
    image = mkfs(folder / "hostile.img", MIB, source=top)
    data = image.read_bytes()
    image.write_bytes(patched(data, (data.index(b"AAAAAAAA   "), short)))
    return image


@pytest.mark.parametrize("directory", [False, True])
@pytest.mark.parametrize("short", [b"../evil    ", b"/tmp/xy    ", b"a/b        ", b"a\0b        "])
def test_hostile_names_stay_out(tmp_path: Path, short: bytes, directory: bool) -> None:
    image = hostile(tmp_path, short, directory=directory)
    before = everything(tmp_path)
    done = extracted(image, tmp_path / "to")
    assert everything(tmp_path) - before == {"to"}
    assert len(done.skipped) == (2 if directory else 1)
    assert done.files == 0


@pytest.mark.parametrize("short", [b"..         ", b".          "])
def test_dot_entries_are_not_files(tmp_path: Path, short: bytes) -> None:
    assert extracted(hostile(tmp_path, short), tmp_path / "to").files == 0


def test_a_link_in_the_target_is_not_followed(tmp_path: Path, image: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    target = tmp_path / "to"
    target.mkdir()
    (target / "deep").symlink_to(outside)
    with pytest.raises(OutputError, match="a link or a file is in the place of a directory"):
        extracted(image, target)
    assert everything(outside) == set()


def test_a_link_in_the_place_of_a_file_is_replaced_not_followed(
    tmp_path: Path, image: Path
) -> None:
    outside = tmp_path / "outside"
    outside.write_text("precious")
    target = tmp_path / "to"
    target.mkdir()
    (target / "empty.bin").symlink_to(outside)
    assert extracted(image, target, "empty.bin").files == 0
    assert extracted(image, target, "empty.bin", replace=True).files == 1
    assert outside.read_text() == "precious"
    assert not (target / "empty.bin").is_symlink()


def test_links_of_an_iso_are_left_out(tmp_path: Path) -> None:
    top = tmp_path / "source"
    top.mkdir()
    (top / "evil").symlink_to("/etc")
    (top / "file").write_bytes(b"x")
    image = tmp_path / "x.iso"
    oracles.run("genisoimage", "-quiet", "-R", "-o", image, top)
    done = extracted(image, tmp_path / "to")
    assert everything(tmp_path / "to") == {"file"}
    assert done.links == ["\\evil"]


def test_no_half_written_file(tmp_path: Path, image: Path) -> None:
    """A file whose chain breaks off leaves nothing."""
    size = image.stat().st_size
    with open_disk(image) as disk:
        volume = disk.volume(disk.pick())
        (whole,) = [n for n in volume.children(volume.root) if n.name == "empty.bin"]
        assert whole.size == 0
    with image.open("r+b") as file:
        file.truncate(size // 20)
    done = extracted(image, tmp_path / "to")
    assert done.skipped
    names = everything(tmp_path / "to")
    assert not any(name.endswith(".tmp") for name in names)
    assert len([n for n in names if (tmp_path / "to" / n).is_file()]) == done.files


def test_a_target_that_cannot_be(tmp_path: Path, image: Path) -> None:
    (tmp_path / "file").touch()
    for target, what in (("file", "is not a directory"), ("no/folder", "cannot be written")):
        with pytest.raises(OutputError, match=what):
            extracted(image, tmp_path / target)


def test_files_that_overlap_do_not_fill_the_disk(tmp_path: Path) -> None:
    top = tmp_path / "source"
    top.mkdir()
    for number in range(40):
        (top / f"F{number:02}").write_bytes(b"")
    (top / "ZZ").write_bytes(bytes(400 << 10))
    data = mkfs(tmp_path / "x.img", MIB, source=top).read_bytes()
    place = data.index(b"ZZ         ") + 26
    for number in range(40):
        entry = data.index(f"F{number:02}        ".encode()) + 26
        data = patched(data, (entry, data[place : place + 6]))
    (tmp_path / "x.img").write_bytes(data)
    done = extracted(tmp_path / "x.img", tmp_path / "to")
    assert done.files == 20
    assert "files overlap" in done.skipped[0]


# ---- the commands


def test_ls(image: Path, capsys: Capture) -> None:
    assert main(["ls", str(image), "/EFI/boot"]) == 0
    row = capsys.readouterr().out.split()
    assert row[:2] == ["A", "30001"]
    assert row[-1] == "BOOTX64.EFI"
    assert main(["ls", str(image), "--names", "-r"]) == 0
    listed = set(capsys.readouterr().out.replace("\\", "/").splitlines())
    assert {name for name in listed if "." in name} == {
        name.replace("EFI/", "EFI/") for name in oracles.mtools_paths(image)
    }


def test_ls_tree_and_json(image: Path, capsys: Capture) -> None:
    assert main(["ls", str(image), "EFI", "--tree"]) == 0
    assert capsys.readouterr().out == "\\EFI\n└── BOOT\\\n    └── BOOTX64.EFI\n"
    assert main(["ls", str(image), "deep/ER", "-r", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["files"]
    assert [(row["path"], row["kind"], row["size"]) for row in rows] == [
        ("est", "directory", 0),
        ("est\\data.bin", "file", 120_000),
    ]


def test_ls_makes_names_harmless(tmp_path: Path, capsys: Capture) -> None:
    image = hostile(tmp_path, b"\x1b[31m      ")
    for options in ([], ["--names"], ["--tree"], ["--json"]):
        assert main(["ls", str(image), *options]) == 0
        assert "\x1b" not in capsys.readouterr().out


def test_cat(image: Path, top: Path) -> None:
    command = [sys.executable, "-m", "efi_image", "cat", str(image), "/EFI/BOOT/bootx64.efi"]
    result = subprocess.run(command, capture_output=True, check=True)
    assert result.stdout == contents(top)["EFI/BOOT/BOOTX64.EFI"]


def test_cat_of_what_is_no_file(image: Path, capsys: Capture) -> None:
    assert main(["cat", str(image), "deep"]) == 3
    assert capsys.readouterr().err == f"zpp-image: {image}:\\deep: is a directory, not a file\n"
    assert main(["cat", str(image), "empty.bin/x"]) == 3
    assert main(["cat", str(image), "nix"]) == 3
    assert "does not exist" in capsys.readouterr().err


def test_extract_command(tmp_path: Path, image: Path, capsys: Capture) -> None:
    arguments = ["extract", str(image), "/EFI", "--to", str(tmp_path / "to")]
    assert main(arguments) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'to'}: 1 files, 29.3 KiB\n"
    assert main(arguments) == 3
    assert "already exists; replace it with --force" in capsys.readouterr().err
    assert main([*arguments, "--force", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == 1


def test_partitions_are_chosen(tmp_path: Path, build_dir: Path, capsys: Capture) -> None:
    image = tmp_path / "esp.img"
    assert main(["make", str(image), "--build-dir", str(build_dir)]) == 0
    capsys.readouterr()
    for name in ("", ":1", ":esp", ":ESP"):
        assert main(["cat", f"{image}{name}", "/efi/ZPP/zpp.conf"]) == 0
        assert "hypervisor = on" in capsys.readouterr().out
    assert main(["ls", f"{image}:2"]) == 3
    assert "has no partition '2'; it has 1" in capsys.readouterr().err
    assert os.path.exists(image)  # noqa: PTH110
