"""`zpp-image cp`, `rm`, `mkdir` and `mv` on image files: what they take, and what they refuse."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from editing import Capture, fails, image, names
from oracles import check_fat, check_gpt, mtools_read, run

from efi_image.cli.main import main
from efi_image.formats.disk import locate, open_disk, split_location
from efi_image.formats.fat.bpb import FsInfo
from efi_image.formats.fat.reader import FatVolume

__all__ = ["image"]


# ---- paths


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("esp.img:/EFI", ("esp.img", "/EFI")),
        ("esp.img:\\EFI\\BOOT", ("esp.img", "\\EFI\\BOOT")),
        ("disk.img:2:/a", ("disk.img:2", "/a")),
        ("/dev/sdb:/", ("/dev/sdb", "/")),
        ("esp.img:", ("esp.img", "")),
        ("esp.img", ("esp.img", None)),
        ("esp.img:2", ("esp.img:2", None)),
        ("dir/file", ("dir/file", None)),
        (":/file", (":/file", None)),
    ],
)
def test_locations(text: str, found: tuple[str, str | None]) -> None:
    assert split_location(text) == found


def test_a_file_of_this_machine_is_no_location(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a:").mkdir()
    (tmp_path / "a:" / "b").touch()
    monkeypatch.chdir(tmp_path)
    assert split_location("a:/b") == ("a:/b", None)


@pytest.mark.parametrize(
    "words", [("esp.img:2", "/a", "/b"), ("esp.img:2:/a", "/b"), ("esp.img:2:/a", "esp.img:2:/b")]
)
def test_all_spellings_of_one_place(words: tuple[str, ...]) -> None:
    place = locate(words[0], words[1:])
    assert (place.image, place.partition, place.paths) == ("esp.img", "2", ("/a", "/b"))


@pytest.mark.parametrize("command", ["ls", "cat", "extract", "rm"])
def test_both_spellings_work_everywhere(
    command: str, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path / "..")
    for words in ([f"{image}:/dir/file"], [f"{image}:1:/dir/file"], [str(image), "/dir/file"]):
        options = ["--force", "--to", str(tmp_path / "out")] if command == "extract" else []
        assert main(["cp", "-f", str(tmp_path / "file"), f"{image}:/dir"]) == 0
        assert main([command, *words, *options]) == 0


def test_paths_on_two_images_are_refused(image: Path, capsys: Capture) -> None:
    fails(["rm", f"{image}:/dir/file", "other.img:/a"], capsys, "one image at a time", 2)
    fails(["cp", "a", "b"], capsys, "write IMAGE:/PATH", 2)
    fails(["cp", "a", f"{image}:/dir/file", "b"], capsys, "both on this machine", 2)
    fails(["rm", str(image)], capsys, "Missing argument 'PATH...'", 2)
    fails(["mv", str(image), "/dir"], capsys, "Missing argument 'TARGET'", 2)


# ---- copying


@pytest.mark.parametrize("given", ["", "1700000000"])
def test_date_of_new_files(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", given)
    before = time.time()
    (tmp_path / "new").write_text("new")
    assert main(["cp", str(tmp_path / "new"), f"{image}:/new"]) == 0
    assert main(["cp", f"{image}:/new", str(tmp_path / "copy")]) == 0
    date = (tmp_path / "copy").stat().st_mtime
    assert date == int(given) if given else before - 2 <= date <= time.time()  # FAT: 2 seconds


def test_copies_out_keep_bytes_and_dates(image: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    assert main(["cp", f"{image}:/DIR/FILE", str(out)]) == 0
    assert out.read_text() == "text"
    assert out.stat().st_mtime == 315532800  # 1980, as the image's entry
    fails(["cp", f"{image}:/dir/file", str(out)], capsys, "replace it with --force")
    assert main(["cp", "-f", f"{image}:/dir/file", str(out)]) == 0
    fails(["cp", f"{image}:/dir", str(tmp_path / "d")], capsys, "copy it with -r", 2)
    assert main(["cp", "-r", f"{image}:/dir", str(tmp_path / "new")]) == 0
    assert (tmp_path / "new" / "file").read_text() == "text"
    (tmp_path / "folder").mkdir()
    assert main(["cp", "-r", f"{image}:/dir", f"{image}:/dir/file", str(tmp_path / "folder")]) == 0
    assert (tmp_path / "folder" / "dir" / "file").read_text() == "text"
    assert (tmp_path / "folder" / "file").read_text() == "text"


def test_copies_from_one_image_to_another_of_another_form(image: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed.img.gz"
    run("sh", "-c", f"gzip -c {image} >{packed}")
    assert main(["cp", "-r", f"{packed}:/dir", f"{image}:/copied"]) == 0
    assert names(image) == {"dir/file", "copied/file"}


def test_the_contents_of_a_folder(image: Path, tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "sub").mkdir(parents=True)
    (top / "sub" / "one").write_text("1")
    assert main(["cp", "-r", f"{top}/.", f"{image}:/"]) == 0
    assert main(["cp", "-r", f"{top}/", f"{image}:/new"]) == 0
    assert main(["cp", "-r", f"{top}/", f"{image}:/dir"]) == 0
    assert names(image) == {"dir/file", "sub/one", "new/sub/one", "dir/top/sub/one"}


def test_dates_follow_source_date_epoch(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert main(["cp", str(tmp_path / "file"), f"{image}:/new"]) == 0
    capsys.readouterr()
    assert main(["ls", str(image), "/new"]) == 0
    assert "2023-11-14 22:13:20" in capsys.readouterr().out


def test_the_same_change_gives_the_same_bytes(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")  # at the same time
    other = tmp_path / "other.img"
    run("cp", image, other)
    for each in (image, other):
        assert main(["cp", str(tmp_path / "file"), f"{each}:/a new file"]) == 0
        assert main(["mv", str(each), "/dir", "/Another Dir"]) == 0
    assert image.read_bytes() == other.read_bytes()


# ---- names


@pytest.mark.parametrize(
    "name", ["a:b", "a*", "con", "nul.txt", "a.", "x" * 256, "tab\t", 'quote"', "\udcff"]
)
def test_names_that_fat_does_not_allow(
    name: str, image: Path, tmp_path: Path, capsys: Capture
) -> None:
    before = image.read_bytes()
    fails(["cp", str(tmp_path / "file"), f"{image}:/{name}"], capsys, "FAT does not allow the name")
    fails(["mkdir", "-p", str(image), f"/new/{name}"], capsys, "FAT does not allow the name")
    fails(["mv", str(image), "/dir/file", f"/{name}"], capsys, "FAT does not allow the name")
    assert image.read_bytes() == before


def test_a_bad_name_within_a_folder(image: Path, tmp_path: Path, capsys: Capture) -> None:
    before = image.read_bytes()
    (tmp_path / "top").mkdir()
    for name in ("good", "bad?"):
        (tmp_path / "top" / name).touch()
    fails(["cp", "-r", str(tmp_path / "top"), f"{image}:/"], capsys, "FAT does not allow")
    (tmp_path / "top" / "bad?").unlink()
    (tmp_path / "top" / "Good").touch()
    fails(["cp", "-r", str(tmp_path / "top"), f"{image}:/"], capsys, "have this name", 2)
    assert image.read_bytes() == before


def test_an_alias_is_the_file_that_has_it(image: Path, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "file"
    assert main(["cp", str(file), f"{image}:/longfilename.efi"]) == 0
    fails(["cp", str(file), f"{image}:/LONGFI~1.EFI"], capsys, "already exists")
    assert main(["cp", str(file), f"{image}:/longfilename2.efi"]) == 0
    with open_disk(image) as disk:
        listing = run("mdir", "-i", f"{image}@@{disk.pick().start}", "::/")
    assert "LONGFI~1 EFI" in listing
    assert "LONGFI~2 EFI" in listing


# ---- what is there


def test_what_is_in_the_way(image: Path, tmp_path: Path, capsys: Capture) -> None:
    file, before = str(tmp_path / "file"), image.read_bytes()
    (tmp_path / "dir").mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").mkdir()
    for words, message, code in (
        (["cp", file, f"{image}:/dir"], "already exists; replace it with --force", 3),
        (["cp", "-f", file, f"{image}:/x/y"], "\\x: does not exist; make it with", 3),
        (["cp", file, f"{image}:/x/"], "\\x: does not exist", 3),
        (["cp", file, f"{image}:/dir/file/x"], "\\dir\\file: is not a directory", 3),
        (["cp", "-rf", str(tmp_path / "dir"), f"{image}:/dir/file"], "directory cannot replace", 3),
        (["cp", str(tmp_path / "folder"), f"{image}:/"], "copy it with -r", 2),
        (["cp", str(tmp_path / "none"), f"{image}:/"], "none: does not exist", 3),
        (["rm", str(image), "/dir"], "remove it with -r", 2),
        (["rm", str(image), "/nothing"], f"{image}:\\nothing: does not exist", 3),
        (["rm", "-r", str(image), "/"], "root directory", 2),
        (["rm", "-r", str(image), "/dir/file", "/nothing"], "\\nothing: does not exist", 3),
        (["mkdir", str(image), "/dir"], "already exists", 3),
        (["mkdir", str(image), "/"], "already exists", 3),
        (["mkdir", str(image), "/a/b"], "\\a: does not exist; make it with", 3),
        (["mkdir", "-p", str(image), "/dir/file/x"], "is a file", 3),
        (["mv", str(image), "/dir", "/dir/sub"], "is inside the directory to move", 2),
        (["mv", str(image), "/", "/dir/sub"], "root directory", 2),
        (["mv", str(image), "/nothing", "/x"], "does not exist", 3),
        (["cp", f"{image}:/nothing", str(tmp_path)], f"{image}:\\nothing: does not exist", 3),
        (["ls", str(image), "/nothing"], f"{image}:\\nothing: does not exist", 3),
        (["cat", str(image), "/dir"], f"{image}:\\dir: is a directory", 3),
        (["extract", str(image), "/nothing"], f"{image}:\\nothing: does not exist", 3),
        (["inspect", str(image), "/nothing"], f"{image}:\\nothing: does not exist", 3),
        (["rm", str(image), "/../x"], "cannot have '..'", 3),
        (["cp", file, f"{image}:7:/"], "has no partition '7'", 3),
    ):
        fails(words, capsys, message, code)
    assert image.read_bytes() == before
    assert main(["rm", "-f", str(image), "/nothing"]) == 0
    assert main(["mkdir", "-p", str(image), "/dir", "/"]) == 0
    assert image.read_bytes() == before


def test_the_fixed_root_directory_is_full(tmp_path: Path, capsys: Capture) -> None:
    image, top = tmp_path / "fat12.img", tmp_path / "top"
    top.mkdir()
    made = ["make", str(image), "--hypervisor", "none", "--table", "none", "--fat", "12"]
    assert main([*made, "--size", "2M"]) == 0
    for number in range(511):
        (top / f"F{number}").touch()
    assert main(["cp", "-r", f"{top}/.", f"{image}:/"]) == 0
    check_fat(image)
    file = tmp_path / "NEW"
    file.touch()
    fails(["cp", str(file), f"{image}:/"], capsys, "has no room for more names", 5)
    assert main(["rm", str(image), "/F7"]) == 0
    fails(["cp", str(file), f"{image}:/a longer name"], capsys, "no room", 5)
    assert main(["cp", str(file), f"{image}:/"]) == 0
    check_fat(image)


def test_a_file_that_fits_only_in_place_of_the_old_one(tmp_path: Path) -> None:
    image, big = tmp_path / "esp.img", tmp_path / "big"
    big.write_bytes(os.urandom(5 << 20))
    made = ["make", str(image), "--hypervisor", "none", "--fat", "16", "--size", "8M"]
    assert main([*made, "--add", f"{big}:/big"]) == 0
    big.write_bytes(os.urandom(11 << 19))
    assert main(["cp", str(big), f"{image}:/second"]) == 5
    assert main(["cp", "-f", str(big), f"{image}:/big"]) == 0
    with open_disk(image) as disk:
        start = disk.pick().start
    assert mtools_read(image, "big", tmp_path / "read", start) == big.read_bytes()


def test_scattered_free_space_is_used(tmp_path: Path) -> None:
    """Removes every second file, and stores a large one in the gaps."""
    image, top = tmp_path / "v.img", tmp_path / "top"
    top.mkdir()
    made = ["make", str(image), "--hypervisor", "none", "--table", "none", "--size", "4M"]
    for number in range(100):
        (top / f"f{number}").write_bytes(os.urandom(30_000))
    assert main([*made, "--add", f"{top}/*:/"]) == 0
    assert main(["rm", str(image), *(f"/f{number}" for number in range(0, 100, 2))]) == 0
    big = tmp_path / "big"
    big.write_bytes(os.urandom(2_000_000))
    assert main(["cp", str(big), f"{image}:/"]) == 0
    check_fat(image)
    assert mtools_read(image, "big", tmp_path / "read") == big.read_bytes()
    assert mtools_read(image, "f1", tmp_path / "read") == (top / "f1").read_bytes()


def test_fsinfo_tells_the_free_space(image: Path, tmp_path: Path) -> None:
    assert main(["cp", str(tmp_path / "file"), f"{image}:/new"]) == 0
    with open_disk(image) as disk:
        volume = disk.volume(disk.pick())
        assert isinstance(volume, FatVolume)
        info = FsInfo.unpack(volume.medium.read(512, 512))
        assert info.free == volume.free_clusters()
        assert volume.entry(info.next_free) == 0
    check_gpt(image)
