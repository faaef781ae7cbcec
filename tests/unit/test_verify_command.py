"""`zpp-image verify` as its user meets it, and rubbish given to it."""

from __future__ import annotations

import json
import struct
import subprocess
from contextlib import suppress
from pathlib import Path

import oracles
import pytest
from fatdamage import Fat, make_fat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from makepe import make_pe
from test_verify_boot import BOOT, volume

from efi_image.cli.main import main
from efi_image.errors import InputError
from efi_image.io.medium import open_raw
from efi_image.verify import Options, repair, undo, verify
from efi_image.verify.finding import LIMIT

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_fat(tmp_path_factory.mktemp("fat"), 12)


def damaged(sound: Path, image: Path, lost: int = 1) -> Path:
    fat = Fat(bytearray(sound.read_bytes()))
    for cluster in range(lost):
        fat.set(fat.free() - cluster, fat.end)
    image.write_bytes(fat.data)
    return image


def test_clean(sound: Path, capsys: Capture) -> None:
    assert main(["verify", str(sound)]) == 0
    assert capsys.readouterr() == (f"{sound}: clean\n", "")


def test_progress_is_told_to_the_end(sound: Path) -> None:
    counts: list[tuple[int, int]] = []
    assert verify(sound, Options(progress=lambda *count: counts.append(count))).clean
    phases = [count for count in counts if count[0] == count[1]]
    assert len({total for _, total in phases}) == 2  # the volume, and its directories
    assert all(0 < done <= total for done, total in counts)


def test_warning_is_no_error(sound: Path, tmp_path: Path, capsys: Capture) -> None:
    image = damaged(sound, tmp_path / "image")
    assert main(["verify", str(image)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("ZPP-F204  warning  volume, byte 0x")
    assert "1 cluster, the first is" in out
    assert out.endswith(f"{image}: 1 warning\n")


def test_error(tmp_path: Path, capsys: Capture) -> None:
    image = volume(tmp_path, {BOOT: make_pe(0xAA64)})
    assert main(["verify", str(image)]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("ZPP-B103  error    volume, \\EFI\\BOOT\\BOOTX64.EFI\n")
    assert "it is for Arm (64 bits), the name for x86-64" in out
    assert "fix: replace it with a program for that machine" in out


def test_json(tmp_path: Path, capsys: Capture) -> None:
    image = volume(tmp_path, {BOOT: make_pe(0xAA64)})
    assert main(["verify", "--json", str(image)]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["clean"] is False
    assert document["size"] == image.stat().st_size
    (finding,) = document["findings"]
    assert finding["code"] == "ZPP-B103"
    assert finding["severity"] == "error"
    assert finding["path"] == BOOT
    assert finding["fixable"] is False
    assert finding["fix"] == finding["mend"] == "replace it with a program for that machine"


def test_fix_in_place(sound: Path, tmp_path: Path, capsys: Capture) -> None:
    image = damaged(sound, tmp_path / "image")
    image.chmod(0o640)
    assert main(["verify", "--fix", str(image)]) == 0
    out = capsys.readouterr().out
    assert "fixed: volume: freed 1 lost cluster\n" in out
    assert out.endswith(f"{image}: clean\n")
    assert image.read_bytes() == sound.read_bytes()
    assert image.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image", "image.undo.json"]


def test_undo(sound: Path, tmp_path: Path, capsys: Capture) -> None:
    image = damaged(sound, tmp_path / "image", lost=2)
    before = image.read_bytes()
    assert main(["verify", "--fix", str(image)]) == 0
    assert f"`zpp-image verify --undo {image}` restores" in capsys.readouterr().out
    assert main(["verify", "--undo", str(image)]) == 0
    assert "took back" in capsys.readouterr().out
    assert image.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["image"]
    assert main(["verify", "--undo", str(image)]) == 3
    assert "there is no repair to undo" in capsys.readouterr().err


def test_undo_of_an_image_that_was_changed_since(
    sound: Path, tmp_path: Path, capsys: Capture
) -> None:
    image = damaged(sound, tmp_path / "image")
    assert main(["verify", "--fix", str(image)]) == 0
    damaged(image, image)
    changed = image.read_bytes()
    assert main(["verify", "--undo", str(image)]) == 3
    assert "is not as the last repair left it" in capsys.readouterr().err
    assert image.read_bytes() == changed


def test_undo_of_two_repairs(sound: Path, tmp_path: Path) -> None:
    image = damaged(sound, tmp_path / "image")
    first = image.read_bytes()
    repair(image)
    damaged(image, image, lost=3)
    data = bytearray(image.read_bytes())
    data[21] = 0x12  # the media byte
    image.write_bytes(data)
    repair(image)
    with pytest.raises(InputError, match="is not as the last repair left it"):
        undo(image)  # the second damage lies between them
    assert image.read_bytes() != first


def test_fix_of_a_copy(sound: Path, tmp_path: Path, capsys: Capture) -> None:
    image, copy = damaged(sound, tmp_path / "image"), tmp_path / "copy"
    before = image.read_bytes()
    assert main(["verify", "--fix", "--json", "--output", str(copy), str(image)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["fixed"] == ["volume: freed 1 lost cluster"]
    assert document["image"] == str(copy)
    assert document["before"]["image"] == str(image)
    assert document["clean"]
    assert [row["code"] for row in document["before"]["findings"]] == ["ZPP-F204"]
    assert image.read_bytes() == before
    assert copy.read_bytes() == sound.read_bytes()


@pytest.mark.parametrize("name", ["image", "link"])
def test_the_output_of_a_repair_is_another_file(
    sound: Path, tmp_path: Path, capsys: Capture, name: str
) -> None:
    """It would be repaired in place, and could not be undone."""
    image = damaged(sound, tmp_path / "image")
    (tmp_path / "link").symlink_to(image)
    before = image.read_bytes()
    assert main(["verify", "--fix", "--output", str(tmp_path / name), str(image)]) == 2
    assert "IMAGE and --output are the same file; leave --output out" in capsys.readouterr().err
    assert image.read_bytes() == before


def test_fix_with_nothing_to_fix_writes_nothing(
    sound: Path, tmp_path: Path, capsys: Capture
) -> None:
    image = tmp_path / "image"
    image.write_bytes(sound.read_bytes())
    status = image.stat()
    assert main(["verify", "--fix", str(image)]) == 0
    assert "nothing to fix" in capsys.readouterr().out
    assert image.stat().st_ino == status.st_ino
    assert image.stat().st_mtime_ns == status.st_mtime_ns


def test_fix_of_a_packed_image(sound: Path, tmp_path: Path, capsys: Capture) -> None:
    image, copy = damaged(sound, tmp_path / "image"), tmp_path / "copy"
    subprocess.run(["gzip", str(image)], check=True)
    packed = tmp_path / "image.gz"
    assert main(["verify", str(packed)]) == 0
    assert "ZPP-F204" in capsys.readouterr().out
    assert main(["verify", "--fix", str(packed)]) == 3
    assert "write a repaired raw copy with --output FILE" in capsys.readouterr().err
    assert main(["verify", "--fix", "--output", str(copy), str(packed)]) == 0
    assert copy.read_bytes() == sound.read_bytes()


def test_fix_of_a_fixed_vhd(sound: Path, tmp_path: Path, capsys: Capture) -> None:
    image = damaged(sound, tmp_path / "image")
    vhd = tmp_path / "image.vhd"
    oracles.run(
        "qemu-img", "convert", "-f", "raw", "-O", "vpc",
        "-o", "subformat=fixed,force_size=on", image, vhd,
    )  # fmt: skip
    before = vhd.read_bytes()
    assert main(["verify", "--fix", str(vhd)]) == 3
    assert "write a repaired raw copy with --output FILE" in capsys.readouterr().err
    assert vhd.read_bytes() == before
    assert main(["verify", "--fix", "--output", str(tmp_path / "copy"), str(vhd)]) == 0
    assert (tmp_path / "copy").read_bytes() == sound.read_bytes()


def test_copy_keeps_holes(tmp_path: Path) -> None:
    image, copy = tmp_path / "image", tmp_path / "copy"
    oracles.run("mkfs.fat", "-F", "32", "-s", "1", "-C", image, "40000")
    repair(image, copy)
    assert copy.read_bytes() == image.read_bytes()
    assert copy.stat().st_blocks * 512 < 2 << 20


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--output", "x", "image"], 2, "--output: needs --fix"),
        (["--dbx", "x", "image"], 2, "--dbx: needs --db"),
        (["--db", "missing", "image"], 3, "missing: cannot be read"),
        (["missing"], 3, "missing: does not exist"),
        (["--arch", "Z80", "image"], 2, "Z80"),
        (["."], 3, "is a directory"),
    ],
)
def test_refusals(
    arguments: list[str], code: int, text: str, tmp_path: Path, capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["verify", *arguments]) == code
    assert text in capsys.readouterr().err


def test_many_findings_are_counted(tmp_path: Path, capsys: Capture) -> None:
    image = volume(tmp_path, {BOOT: make_pe(), **{f"\\{n}.efi": b"x" for n in range(LIMIT + 7)}})
    report = verify(image)
    assert sum(finding.rule.code == "ZPP-B111" for finding in report.findings) == LIMIT
    assert [(row.code, row.count) for row in report.omitted] == [("ZPP-B111", 7)]
    main(["verify", str(image)])
    assert "ZPP-B111  and 7 more findings in volume" in capsys.readouterr().out


# ---- rubbish


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow,
          HealthCheck.function_scoped_fixture])  # fmt: skip
@given(st.lists(st.tuples(st.integers(0, 0x3000), st.binary(min_size=1, max_size=8)), max_size=12))
def test_random_damage_is_found_or_harmless(
    sound: Path, tmp_path: Path, changes: list[tuple[int, bytes]]
) -> None:
    data = bytearray(sound.read_bytes())
    for at, change in changes:
        data[at : at + len(change)] = change
    image, fixed = tmp_path / "image", tmp_path / "fixed"
    image.write_bytes(data)
    report = verify(image)
    assert all(finding.advice("image") for finding in report.findings)
    repaired = repair(image, fixed)
    if repaired.fixed:
        assert not any(finding.fix for finding in repaired.after.findings)
    assert fixed.stat().st_size == len(data)
    if repair(image).undo:
        undo(image)
    assert image.read_bytes() == data
    if not any(f.rule.code.startswith(("ZPP-F", "ZPP-D")) for f in report.findings):
        assert oracles.verdict("fsck.fat", "-n", image)
        with open_raw(image) as medium:
            assert medium.size == len(data)


@settings(max_examples=60, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(st.binary(max_size=3000), st.sampled_from([0, 446, 510, 512, 4096]), st.booleans())
def test_random_bytes(tmp_path: Path, data: bytes, at: int, gpt: bool) -> None:
    content = bytearray(40 * 512)
    content[510:512] = b"\x55\xaa"
    if gpt:
        content[512:520] = b"EFI PART"
        struct.pack_into("<II", content, 512 + 8, 0x10000, 92)
        struct.pack_into("<QII", content, 512 + 72, 2, 128, 128)
    content[at : at + len(data)] = data
    image = tmp_path / "image"
    image.write_bytes(content)
    with suppress(InputError):  # it may look like a damaged xz file
        verify(image)
        repair(image, tmp_path / "fixed")
