"""Forms of an image: streams, virtual disks, bmap files, standard output; and what fails."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_image import FILES
from test_make import make as run_make
from test_make import start_make, wait_for_second_file
from trees import tree_of

from efi_image.build.image import Report, make_image
from efi_image.build.options import OutputFormat, ResolvedOptions
from efi_image.build.plan import plan
from efi_image.errors import ExitCode, InputError, MissingError, OutputError, UsageError
from efi_image.formats.bmap import BLOCK, BmapBuilder
from efi_image.formats.virtual_disk import VMDK_DESCRIPTOR, crc32c, settle_vmdk
from efi_image.io.source import FileSource

MIB = 1 << 20
STREAMS = {OutputFormat.GZIP: "gzip", OutputFormat.XZ: "xz", OutputFormat.ZSTD: "zstd"}
DISKS = [form for form in OutputFormat if not form.is_stream]
Capture = pytest.CaptureFixture[str]
OPTIONS = ResolvedOptions(Path("a"), size=40 * MIB, digest=True)


def options(
    path: Path, form: OutputFormat | None = None, bmap: Path | None = None
) -> ResolvedOptions:
    return replace(OPTIONS, output=path, output_format=form or OutputFormat.of(path), bmap=bmap)


def make(path: Path, bmap: Path | None = None) -> Report:
    return make_image(options(path, bmap=bmap), tree_of(FILES))


@pytest.fixture
def raw(tmp_path: Path) -> bytes:
    """The image, as it is without any form."""
    make(tmp_path / "raw.img")
    return (tmp_path / "raw.img").read_bytes()


def test_forms_by_suffix() -> None:
    names = [f"a.{form.value.upper()}" for form in OutputFormat]
    assert [OutputFormat.of(Path(name)) for name in names] == list(OutputFormat)
    assert OutputFormat.of(Path("a.img.zst")) is OutputFormat.ZSTD
    assert {OutputFormat.of(Path(name)) for name in ("a.img", "a", "zst")} == {OutputFormat.RAW}


# ---- streams


@pytest.mark.slow
@pytest.mark.parametrize("form", STREAMS)
def test_streams(tmp_path: Path, raw: bytes, form: OutputFormat) -> None:
    file = tmp_path / f"a.img.{form.value}"
    report = make(file)
    oracles.run(STREAMS[form], "-t", file)
    unpacked = subprocess.run([STREAMS[form], "-dc", file], capture_output=True, check=True).stdout
    assert unpacked == raw
    assert report.sha256 == hashlib.sha256(raw).hexdigest()
    assert (report.size, report.format) == (len(raw), form.value)
    make(tmp_path / f"b.{form.value}")
    assert (tmp_path / f"b.{form.value}").read_bytes() == file.read_bytes()


@pytest.mark.parametrize("form", ["raw", "zst"])
def test_standard_output(build_dir: Path, tmp_path: Path, form: str) -> None:
    command = [sys.executable, "-m", "efi_image", "make", "--build-dir", str(build_dir), "-",
               "--size", "3M", "--digest", "--output-format", form]  # fmt: skip
    done = subprocess.run(command, capture_output=True, check=True)
    data = done.stdout
    if form == "zst":
        data = subprocess.run(["zstd", "-dc"], input=data, capture_output=True, check=True).stdout
    assert run_make(build_dir, tmp_path / "a.img", "--size", "3M") == 0
    assert data == (tmp_path / "a.img").read_bytes()
    assert b"sha256 " + hashlib.sha256(data).hexdigest().encode() in done.stderr


def test_terminal_is_refused(build_dir: Path) -> None:
    ours, theirs = os.openpty()
    try:
        command = [sys.executable, "-m", "efi_image", "make", "--build-dir", str(build_dir), "-"]
        done = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 4
    assert done.stderr.startswith(b"zpp-image: standard output: is a terminal; ")


def test_reader_that_goes_away(build_dir: Path) -> None:
    command = [sys.executable, "-m", "efi_image", "make", "--build-dir", str(build_dir), "-"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    assert process.wait(60) == ExitCode.READER_GONE
    message = process.stderr.read()
    process.stderr.close()
    assert message == b""


@pytest.mark.slow
@pytest.mark.parametrize("form", [OutputFormat.RAW, *STREAMS])
def test_full_disk(tmp_path: Path, form: OutputFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot grow fails as one on a full disk does."""
    import resource  # noqa: PLC0415
    import signal  # noqa: PLC0415

    path = tmp_path / "out"
    path.write_bytes(b"old")
    source = tmp_path / "noise"
    source.write_bytes(os.urandom(2 * MIB))
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB + MIB // 2, limits[1]))
    try:
        with pytest.raises(OutputError, match="out: cannot be written: File too large"):
            make_image(options(path, form), tree_of({"A": FileSource.open(source)}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert path.read_bytes() == b"old"
    assert sorted(tmp_path.iterdir()) == [source, path]


# ---- virtual disks


@pytest.mark.slow
@pytest.mark.parametrize("form", DISKS)
def test_virtual_disks(tmp_path: Path, raw: bytes, form: OutputFormat) -> None:
    file = tmp_path / f"a:b.{form.value}"
    report = make(file)
    assert report.sha256 == hashlib.sha256(raw).hexdigest()
    kind = {"vhd": "vpc"}.get(form.value, form.value)
    if kind not in {"vpc"}:
        oracles.run("qemu-img", "check", "-f", kind, f"./{file.name}", cwd=tmp_path)
    oracles.run("qemu-img", "convert", "-f", kind, "-O", "raw", f"./{file.name}", "back",
                cwd=tmp_path)  # fmt: skip
    assert (tmp_path / "back").read_bytes() == raw
    (tmp_path / "other").mkdir()
    again = tmp_path / "other" / file.name
    make(again)
    assert again.read_bytes() == file.read_bytes()
    assert list((tmp_path / "other").iterdir()) == [again]


@pytest.mark.parametrize("digits", ["1", "12345", "deadbeef"])
def test_content_id_of_any_length(tmp_path: Path, digits: str) -> None:
    """qemu-img writes it without leading zeros."""
    make(tmp_path / "a.vmdk")
    whole = (tmp_path / "a.vmdk").read_bytes()
    text = whole[VMDK_DESCRIPTOR]
    other = re.sub(rb"^CID=\w+$", b"CID=" + digits.encode(), text, count=1, flags=re.M)
    other = other.rstrip(b"\0").ljust(len(text), b"\0")
    (tmp_path / "b").write_bytes(whole[: VMDK_DESCRIPTOR.start] + other
                                 + whole[VMDK_DESCRIPTOR.stop :])  # fmt: skip
    seed = plan(OPTIONS, tree_of(FILES)).digest
    with (tmp_path / "b").open("r+b", buffering=0) as file:
        settle_vmdk(file, seed)
    assert (tmp_path / "b").read_bytes() == whole


def test_identities_follow_the_content(tmp_path: Path) -> None:
    for form in DISKS[1:]:
        one, two = tmp_path / f"1.{form.value}", tmp_path / f"2.{form.value}"
        make(one)
        make_image(options(two), tree_of({"A": b""}))
        heads = [path.read_bytes()[: 128 * 1024] for path in (one, two)]
        assert heads[0] != heads[1], form


def test_without_qemu_img(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingError, match="qemu-img is needed.*apt-get install qemu-utils"):
        make(tmp_path / "a.qcow2")
    assert list(tmp_path.iterdir()) == []


def test_qemu_img_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "qemu-img"
    program.write_text(f"#!{shutil.which('sh')}\necho no space >&2\nexit 3\n")
    program.chmod(0o755)
    (tmp_path / "a.vdi").write_bytes(b"old")
    monkeypatch.setenv("PATH", str(program.parent))
    with pytest.raises(OutputError, match=r"qemu-img failed \(3\)") as caught:
        make(tmp_path / "a.vdi")
    assert caught.value.details == ("no space",)
    assert (tmp_path / "a.vdi").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 2


def test_crc32c() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # the check value of the algorithm's catalogue


# ---- bmap


@pytest.mark.slow
def test_bmaptool_copies_by_the_map(tmp_path: Path, raw: bytes) -> None:
    bmap = tmp_path / "a.bmap"
    report = make(tmp_path / "a.img.gz", bmap=bmap)
    assert report.bmap == str(bmap)
    target = tmp_path / "copy"
    target.write_bytes(bytes(len(raw)))
    oracles.run("bmaptool", "copy", "--bmap", bmap, tmp_path / "a.img.gz", target)
    assert target.read_bytes() == raw
    mapped = re.search(r"<MappedBlocksCount> (\d+) ", bmap.read_text())
    assert mapped
    assert int(mapped[1]) * BLOCK < MIB


def test_bmaptool_sees_damage(tmp_path: Path, raw: bytes) -> None:
    make(tmp_path / "a.img", bmap=tmp_path / "a.bmap")
    damaged = bytearray(raw)
    damaged[512] ^= 1
    (tmp_path / "a.img").write_bytes(damaged)
    output = oracles.run("bmaptool", "copy", "--bmap", tmp_path / "a.bmap", tmp_path / "a.img",
                         tmp_path / "copy", check=False)  # fmt: skip
    assert "checksum mismatch" in output


@given(st.lists(st.tuples(st.integers(0, 3 * BLOCK), st.binary(min_size=1, max_size=2 * BLOCK)),
                max_size=8), st.integers(0, 2 * BLOCK))  # fmt: skip
def test_map_of_any_data(pieces: list[tuple[int, bytes]], rest: int) -> None:
    """Each range's sum is that of its blocks, and all outside of them is zeros."""
    blocks, image = BmapBuilder(), b""
    for gap, data in pieces:
        image += bytes(gap)
        blocks.data(len(image), memoryview(data))
        image += data
    image += bytes(rest)
    text = blocks.finish(len(image)).pack().decode()
    left, last_end, count = bytearray(image), -1, 0
    for digest, first, last in re.findall(r'chksum="(\w+)"> (\d+)(?:-(\d+))? <', text):
        start, end = int(first), int(last or first)
        assert start > last_end
        last_end, count = end, count + end - start + 1
        part = image[start * BLOCK : (end + 1) * BLOCK]
        assert hashlib.sha256(part).hexdigest() == digest
        left[start * BLOCK : start * BLOCK + len(part)] = bytes(len(part))
    assert not any(left)
    assert len(left) == len(image)
    assert f"<MappedBlocksCount> {count} <" in text


# ---- what is refused


def test_targets_that_cannot_be(tmp_path: Path, build_dir: Path) -> None:
    for target, error, what in (
        (options(Path("-"), OutputFormat.QCOW2), UsageError, "qcow2 cannot go to standard output"),
        (options(tmp_path / "a", None, tmp_path / "a"), UsageError,
         "a: --bmap and OUTPUT are the same file"),
        (options(tmp_path / "a", None, tmp_path), OutputError, "is a directory"),
        (options(tmp_path / "no" / "a.zst"), OutputError, "its directory does not exist"),
    ):  # fmt: skip
        with pytest.raises(error, match=what):
            make_image(target, tree_of(FILES))
    assert list(tmp_path.iterdir()) == [build_dir]


def test_failure_leaves_both_files(tmp_path: Path) -> None:
    """A source that changes while the image is made, which shows only as it is written."""
    for name in ("a.zst", "a.bmap", "source"):
        (tmp_path / name).write_bytes(b"old")
    source = FileSource.open(tmp_path / "source")
    (tmp_path / "source").write_bytes(b"new and longer")
    with pytest.raises(InputError, match="changed while it was used"):
        make_image(options(tmp_path / "a.zst", bmap=tmp_path / "a.bmap"), tree_of({"A": source}))
    assert (tmp_path / "a.zst").read_bytes() == (tmp_path / "a.bmap").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("name", ["esp.xz", "esp.vdi"])
def test_signal_leaves_nothing(build_dir: Path, tmp_path: Path, name: str) -> None:
    import signal  # noqa: PLC0415

    big = tmp_path / "big.bin"
    big.touch()
    os.truncate(big, 300 * MIB)
    folder = tmp_path / "output"
    folder.mkdir()
    (folder / name).write_bytes(b"old")
    process = start_make(build_dir, folder / name, big, signal.SIG_DFL)
    wait_for_second_file(process, folder)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert list(folder.iterdir()) == [folder / name]
    assert (folder / name).read_bytes() == b"old"


def test_form_and_map_on_the_command_line(build_dir: Path, tmp_path: Path, capsys: Capture) -> None:
    bmap = tmp_path / "x.bmap"
    assert run_make(build_dir, tmp_path / "x", "--output-format", "gz", "--bmap", bmap) == 0
    assert (tmp_path / "x").read_bytes()[:2] == b"\x1f\x8b"
    assert bmap.read_text().startswith("<?xml")
    assert run_make(build_dir, "-", "--output-format", "vdi") == 2
    assert "vdi cannot go to standard output" in capsys.readouterr().err
