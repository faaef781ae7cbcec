"""diff: two images or PE files, compared by meaning."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import oracles
import pytest
from foreign import MIB, mkfs, patched, sources
from gptdamage import DAMAGES as GPT_DAMAGES
from gptdamage import Disk, make_gpt
from makepe import make_pe
from test_inspect import make

from efi_image.cli.main import main
from efi_image.formats.disk import open_disk
from efi_image.formats.pe.authenticode import SignatureFacts
from efi_image.inspect.difference import CompareOptions, compare_disks, compare_pe
from efi_image.inspect.pe import pe_facts
from efi_image.render.inspect_report import difference_line

Capture = pytest.CaptureFixture[str]


def diff(*arguments: str | Path) -> int:
    return main(["diff", *map(str, arguments)])


def test_same_content_in_other_places_is_the_same(tmp_path: Path, capsys: Capture) -> None:
    top = sources(tmp_path)
    one = mkfs(tmp_path / "one.img", 3 * MIB, "-i", "12345678", source=top)
    other = mkfs(tmp_path / "two.img", 3 * MIB, "-i", "12345678")
    for path in sorted(top.iterdir(), reverse=True):
        oracles.run("mcopy", "-s", "-i", other, path, "::/")
    assert one.read_bytes() != other.read_bytes()
    assert diff(one, other, "--ignore-dates") == 0
    assert capsys.readouterr().out == ""
    assert diff(one, one) == 0


def test_progress_of_diff_is_told_of_all_bytes(tmp_path: Path) -> None:
    top = sources(tmp_path)
    image = mkfs(tmp_path / "one.img", 3 * MIB, source=top)
    told: list[tuple[int, int]] = []
    with open_disk(image) as one, open_disk(image) as other:
        options = CompareOptions(progress=lambda *count: told.append(count))
        assert list(compare_disks(one, other, options)) == []
    whole = sum(path.stat().st_size for path in top.rglob("*") if path.is_file())
    assert told[-1] == (whole, whole)


def test_differences_of_files(tmp_path: Path, capsys: Capture) -> None:
    top = sources(tmp_path)
    one = mkfs(tmp_path / "one.img", 3 * MIB, source=top)
    (top / "empty.bin").unlink()
    (top / "new.txt").write_text("new")
    (top / "deep" / "numbered file 007.txt").write_text("8\n")
    (top / "deep" / "numbered file 008.txt").write_text("longer\n")
    two = mkfs(tmp_path / "two.img", 3 * MIB, "-n", "OTHER", source=top)
    assert diff(one, two, "--ignore-dates") == 1
    out = capsys.readouterr().out
    assert "~ partition fat: label:  → OTHER\n" in out
    assert "~ partition fat: serial: " in out
    assert diff(one, two, "--ignore-dates", "--ignore-ids", "--json") == 1
    found = json.loads(capsys.readouterr().out)["differences"]
    where = [(d["change"], d["where"].removeprefix("partition fat: "), d["what"]) for d in found]
    assert where == [
        ("changed", "partition fat", "label"),
        ("changed", "\\deep\\numbered file 007.txt", "content"),
        ("changed", "\\deep\\numbered file 008.txt", "size"),
        ("removed", "\\empty.bin", "file"),
        ("added", "\\new.txt", "file"),
    ]


def test_differences_of_programs(tmp_path: Path, build_dir: Path, capsys: Capture) -> None:
    one = make(tmp_path / "one.img", build_dir)
    data = (build_dir / "ZppBoot.efi").read_bytes()
    (build_dir / "ZppBoot.efi").write_bytes(make_pe(text=b"\x90" * 3000))
    two = make(tmp_path / "two.img", build_dir)
    capsys.readouterr()
    assert diff(one, two) == 1
    out = capsys.readouterr().out
    assert "\\EFI\\BOOT\\BOOTX64.EFI: authenticode sha256: " in out
    assert "\\EFI\\BOOT\\BOOTX64.EFI: section .text: 4000 bytes r-x → 3000 bytes r-x" in out
    assert "ZppDxe" not in out
    (tmp_path / "old.efi").write_bytes(data)
    assert diff(tmp_path / "old.efi", build_dir / "ZppBoot.efi") == 1
    assert "section .text" in capsys.readouterr().out
    assert diff(tmp_path / "old.efi", tmp_path / "old.efi") == 0
    assert diff(tmp_path / "old.efi", one) == 3


def test_differences_of_signatures() -> None:
    unsigned = pe_facts([make_pe()], "x.efi")
    first = SignatureFacts("CN=zpp", "CN=root", "sha256", "12ab", True, True)
    second = SignatureFacts("", "", "", "", False, False, "cannot be parsed")
    signed = replace(unsigned, signatures=(first, second))
    (difference,) = compare_pe("x.efi", unsigned, signed)
    assert (difference.what, difference.old) == ("signatures", "")
    assert difference.new == "CN=zpp (sha256 12ab), cannot be parsed"


def test_differences_of_tables(tmp_path: Path, build_dir: Path, capsys: Capture) -> None:
    one = make(tmp_path / "one.img", build_dir)
    two = make(tmp_path / "two.img", build_dir, "--size", "80M")
    plain = make(tmp_path / "plain.img", build_dir, "--plain-fat")
    capsys.readouterr()
    assert diff(one, two, "--ignore-ids") == 1
    out = capsys.readouterr().out
    assert "~ image: size: 67108864 → 83886080\n" in out
    assert "~ partition 1: size: " in out
    assert "guid" not in out
    assert diff(one, plain) == 1
    assert "~ image: scheme: GPT → one volume" in capsys.readouterr().out


def test_unknown_contents_are_compared_by_their_bytes(tmp_path: Path, capsys: Capture) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"a" * 5000)
    two.write_bytes(b"a" * 4999 + b"b")
    assert diff(one, two) == 1
    assert capsys.readouterr().out == "~ image: content\n"
    assert diff(one, one) == 0


def test_partitions_without_a_volume_are_compared_by_their_bytes(
    tmp_path: Path, divided: Path, capsys: Capture
) -> None:
    two = tmp_path / "two.img"
    two.write_bytes(patched(divided.read_bytes(), (10 * MIB, b"x")))
    assert diff(divided, two) == 1
    assert capsys.readouterr().out == "~ partition 2: content\n"


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        ("no primary header", "~ image: primary GPT: missing → valid (rewritten"),
        ("primary entries", "~ image: primary GPT: damaged → valid (rewritten"),
        ("no backup header", "~ image: backup GPT: missing → valid (rewritten"),
        ("tables differ", ""),
    ],
)
def test_a_copy_of_the_gpt_that_firmware_made_again(tmp_path: Path, damage: str, line: str) -> None:
    """tests/boot/test_firmware_writes.py has the bytes of OVMF."""
    sound = make_gpt(tmp_path)
    disk = Disk(bytearray(sound.read_bytes()))
    next(each for each in GPT_DAMAGES if each.name == damage).change(disk)
    damaged = tmp_path / "damaged.img"
    damaged.write_bytes(disk.data)
    for old, new, wanted in ((damaged, sound, line), (sound, damaged, "")):
        with open_disk(old) as one, open_disk(new) as other:
            lines = [difference_line(d) for d in compare_disks(one, other, CompareOptions())]
        told = [each for each in lines if "rewritten from the other copy" in each]
        assert told == (
            [f"{wanted} from the other copy, as firmware does during a boot)"] if wanted else []
        )
        assert not wanted or lines == told
