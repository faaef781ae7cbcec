"""Manifests: what they say, how options override them, what is refused and where."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from makepe import BOOT_DRIVER, make_pe
from test_make import make

from efi_image.build.plan import plan
from efi_image.cli.main import main
from efi_image.config.environment import load as load_config
from efi_image.config.manifest import MAX_SIZE, from_tables, load, parse
from efi_image.config.resolve import resolve
from efi_image.config.settings import KEYS, merge
from efi_image.errors import ZppError
from efi_image.formats.fat import Tree
from efi_image.formats.gpt.types import BY_NAME

MIB = 1 << 20
CONFIG = load_config()
DOCUMENT = Path(__file__).parents[2] / "docs/reference/manifest.md"
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with a manifest, elsewhere than the current directory."""
    path = tmp_path / "project"
    (path / "data" / "deep").mkdir(parents=True)
    (path / "kernel.efi").write_bytes(make_pe())
    (path / "root.img").write_bytes(b"root" * 1000)
    for name in ("a.bin", "b.bin", "c.txt", "deep/d.bin"):
        (path / "data" / name).write_bytes(name.encode())
    return path


def write(folder: Path, text: str) -> Path:
    path = folder / "disk.toml"
    path.write_text(text)
    return path


def test_whole_manifest(build_dir: Path, folder: Path, capsys: Capture) -> None:
    manifest = write(
        folder,
        """
        output = "disk.img"
        kernel = "kernel.efi"
        cmdline = "quiet"
        serial = 0x2f8
        size = "40M"
        fat = 16
        label = "MINE"
        digest = false
        [[files]]
        source = "data/*.bin"
        target = "/firmware"
        [[files]]
        source = "data/**/*.bin"
        [[partitions]]
        source = "root.img"
        type = "linux-root-x86-64"
        name = "root"
        """,
    )
    assert make(build_dir, "--manifest", manifest, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    image = folder / "disk.img"
    assert (report["output"], report["size"]) == (str(image), 40 * MIB)
    assert (report["fat"], report["label"], report["sha256"]) == ("FAT16", "MINE", "")
    assert report["partitions"][1]["name"] == "root"
    files = oracles.pyfatfs_files(image, MIB)
    assert b"serial = 0x2f8" in files["EFI/zpp/zpp.conf"]
    assert {name for name in files if "bin" in name} == {
        "firmware/a.bin", "firmware/b.bin", "a.bin", "b.bin", "deep/d.bin"}  # fmt: skip
    oracles.check_gpt(image)


def test_options_override(build_dir: Path, folder: Path, capsys: Capture) -> None:
    manifest = write(folder, 'output = "x.img"\nsize = "40M"\nfat = 16\nboot = []\n'
                             '[[files]]\nsource = "data"\n')  # fmt: skip
    image = folder / "y.img"
    assert make(build_dir, image, "--manifest", manifest, "--size", "3M", "--fat", "12",
                "--add", f"{folder / 'root.img'}:/", "--json") == 0  # fmt: skip
    report = json.loads(capsys.readouterr().out)
    assert (report["output"], report["size"], report["fat"]) == (str(image), 3 * MIB, "FAT12")
    paths = {file["path"] for file in report["files"]}
    assert {"\\root.img", "\\data\\a.bin"} <= paths
    assert not (folder / "x.img").exists()


def test_show(build_dir: Path, folder: Path, capsys: Capture) -> None:
    manifest = write(folder, 'size = "40M"\nhypervisor = false\nboot = "kernel.efi"\n')
    assert main(["config", "--show", "--manifest", str(manifest)]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line for line in lines if line}
    assert re.fullmatch(rf"size +:= 40M +{manifest}: size", rows["size"])
    assert re.fullmatch(rf"hypervisor +:= none +{manifest}: hypervisor", rows["hypervisor"])
    assert re.search(r":= 512 +default", rows["sector-size"])
    assert str(folder / "kernel.efi") in rows["boot"]
    assert "BOCHS_ROOT" in rows
    assert make(build_dir, "--manifest", manifest, "--size", "9M", "--show", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["size"] == {"value": "9M", "origin": "--size"}
    assert shown["build-dir"]["value"] == str(build_dir)
    assert main(["config", "--json", "--show"]) == 0
    assert json.loads(capsys.readouterr().out)["image"]["table"]["value"] == "gpt"
    assert set(shown) == {"version", *KEYS, "boot", "files", "partitions"}


@pytest.mark.parametrize(
    ("text", "key", "what"),
    [
        ("sizes = 1", "sizes", "unknown key; did you mean 'size'?"),
        ("zzz = 1", "zzz", "unknown key"),
        ("[size]\na = 1", "size", "must be a string"),
        ("size = true", "size", "cannot be true or false"),
        ("size = 1.5", "size", "must be a string"),
        ("label = 5", "label", 'must be a string; write it in quotes: "…"'),
        ("hypervisor = []", "hypervisor", "must be true, false or a string"),
        ("boot = [1]", "boot", "must be an array of paths"),
        ("boot = 1", "boot", "must be an array"),
        ("files = 1", "files", "must be an array"),
        ("files = [1]", "files[1]", "must be a table"),
        ("[[files]]\ntarget = 'x'", "files[1].source", "is missing"),
        ("[[files]]\nsource = 'x'\n[[files]]\nsources = 'x'", "files[2].sources",
         "unknown key; did you mean 'source'?"),
        ("[[partitions]]\nsource = 5", "partitions[1].source", "must be a string"),
    ],
)  # fmt: skip
def test_faults_name_file_and_key(
    build_dir: Path, folder: Path, capsys: Capture, text: str, key: str, what: str
) -> None:
    manifest = write(folder, text)
    assert make(build_dir, folder / "x.img", "--manifest", manifest) == 3
    assert capsys.readouterr().err == f"zpp-image: {manifest}: {key}: {what}\n"
    assert not (folder / "x.img").exists()


@pytest.mark.parametrize(
    ("text", "code", "what"),
    [
        ("size = 'big'", 2, "disk.toml: size: expected a size"),
        ("table = 'apm'", 2, "disk.toml: table: expected gpt, mbr"),
        ("hypervisor = 'yes'", 2, "disk.toml: hypervisor: expected on, off or none"),
        ("fat = 24", 2, "disk.toml: fat: expected 12, 16 or 32"),
        ("label = 'a/b'", 2, "disk.toml: label: a volume label cannot contain '/'"),
        ("label = 'twelve chars'", 2, "disk.toml: label: expected 1 to 11 characters"),
        ("volume-serial = '12'", 2, "disk.toml: volume-serial: expected eight digits"),
        ("disk-guid = '12'", 2, "disk.toml: disk-guid: expected a GUID"),
        (
            "table = 'mbr'\ndisk-guid = '12'",
            2,
            "disk-guid: an image with the table 'mbr' has no GUID",
        ),
        ("disk-signature = '12345678'", 2, "an image with the table 'gpt' has no disk signature"),
        ("[[partitions]]\nsource = 'root.img'\ntype = 'lin'", 2, "partitions[1]: unknown"),
        ("[[partitions]]\nsource = 'none.img'", 3, "none.img: does not exist"),
        ("[[files]]\nsource = '*.no'", 3, "*.no: nothing matches"),
        ("[[files]]\nsource = 'a\\u0000*'".replace("'", '"'), 3, "name contains a NUL"),
        ("boot = 'root.img'", 3, "root.img: is a text file, not an EFI program"),
        ("boot = 'kernel.efi'", 2, "kernel.efi: ZppBoot is \\EFI\\BOOT\\BOOTX64.EFI already"),
        ("hypervisor = false\nkernel = 'kernel.efi'", 2, "disk.toml: kernel: needs ZppBoot, which"),
        ("size = ", 3, "disk.toml: is not valid TOML: Invalid value (at"),
        ("x = " + "[" * 100_000, 3, "disk.toml: is nested too deeply"),
        ("x = " + "9" * 5000, 3, "disk.toml: is not valid TOML"),
    ],
)
def test_values_that_are_refused(
    build_dir: Path, folder: Path, capsys: Capture, text: str, code: int, what: str
) -> None:
    manifest = write(folder, text)
    assert make(build_dir, folder / "x.img", "--manifest", manifest) == code
    err = capsys.readouterr().err
    assert what in err
    assert len(err.splitlines()) == 1
    assert not (folder / "x.img").exists()


def test_manifest_that_cannot_be_read(build_dir: Path, folder: Path, capsys: Capture) -> None:
    for data, what in ((None, "does not exist"), (b"\xff", "is not UTF-8 at byte 0"),
                       (b"#" * (MAX_SIZE + 1), "the limit is")):  # fmt: skip
        if data is not None:
            (folder / "disk.toml").write_bytes(data)
        assert make(build_dir, folder / "x.img", "--manifest", folder / "disk.toml") == 3
        assert what in capsys.readouterr().err


@pytest.mark.slow
@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(ZppError):
        parse(text, Path("disk.toml"))


VALUES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["min", "gpt", "iso", "12", "0x3f8", "1M", "-", "on", "none", "qcow2", "esp"]),
    st.integers(),
    st.booleans(),
    st.floats(),
    st.none(),
)
ROWS = st.lists(
    st.one_of(VALUES, st.dictionaries(st.sampled_from(["source", "type", "guid", "x"]), VALUES)),
    max_size=3,
)
TABLES = st.dictionaries(
    st.sampled_from([*KEYS, "boot", "files", "partitions", "x"]), st.one_of(VALUES, ROWS)
)


@pytest.mark.slow
@given(TABLES)
def test_any_values_are_taken_or_refused(tables: dict[str, object]) -> None:
    with suppress(ZppError):
        plan(resolve(merge(CONFIG, from_tables(tables, Path("none/disk.toml")))), Tree())


def test_output_is_named_after_its_form(build_dir: Path) -> None:
    for form, name in (("vdi", "esp.vdi"), ("zst", "esp.img.zst"), ("raw", "esp.img")):
        assert make(build_dir, "--output-format", form) == 0
        assert (build_dir / name).is_file()


def test_document_names_all_keys_and_types(folder: Path) -> None:
    text = DOCUMENT.read_text()
    for key in KEYS:
        assert f"`{key}`" in text, key
    for name in BY_NAME:
        short = re.sub(r"(linux-(?:root|usr)-).*", r"\1ARCH", name)
        assert f"`{short}`" in text, name
    example = re.search(r"```toml\n(.*?)```", text, re.S)
    assert example
    manifest = load(write(folder, example[1]))
    assert manifest.partitions[0].type.name == "linux-root-x86-64"


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["img", "iso", "vmdk", "zst"])
def test_same_manifest_elsewhere_gives_the_same_bytes(
    build_dir: Path, folder: Path, tmp_path: Path, suffix: str
) -> None:
    text = (
        f'output = "x.{suffix}"\nsize = "min"\nbmap = "x.bmap"\n[[files]]\nsource = "data"\n'
        '[[partitions]]\nsource = "root.img"\n'
    )
    write(folder, text)
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    for place, seed in ((folder, "1"), (other, "2")):
        subprocess.run(
            [sys.executable, "-m", "efi_image", "make", "--build-dir", build_dir,
             "--manifest", place / "disk.toml"],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.DEVNULL,
            check=True,
        )  # fmt: skip
    for name in (f"x.{suffix}", "x.bmap"):
        assert (folder / name).read_bytes() == (other / name).read_bytes()


# ---- programs of any machine, and images without zpp


def test_boot_programs_of_several_machines(tmp_path: Path, folder: Path, capsys: Capture) -> None:
    options = ["--hypervisor", "none", "--plain-fat", "--size", "min"]
    for machine in (0x14C, 0x1C2, 0x5064, 0x6264, 0x8664, 0xAA64):
        path = folder / f"{machine:x}.efi"
        path.write_bytes(make_pe(machine, text=os.urandom(100)))
        options += ["--boot", str(path)]
    image = tmp_path / "x.img"
    assert make(folder / "no-build", image, *options, "--add", f"{folder}/aa64.efi:/tools/") == 0
    files = oracles.pyfatfs_files(image)
    for name, number in (("IA32", "14c"), ("ARM", "1c2"), ("RISCV64", "5064"), ("X64", "8664"),
                          ("LOONGARCH64", "6264"), ("AA64", "aa64")):  # fmt: skip
        data = (folder / f"{number}.efi").read_bytes()
        assert files.pop(f"EFI/BOOT/BOOT{name}.EFI") == data
    assert set(files) == {"tools/aa64.efi"}


def test_boot_program_beside_zpp(build_dir: Path, tmp_path: Path, folder: Path) -> None:
    (folder / "arm.efi").write_bytes(make_pe(0xAA64))
    assert make(build_dir, tmp_path / "x.img", "--boot", folder / "arm.efi") == 0
    assert "EFI/BOOT/BOOTAA64.EFI" in oracles.pyfatfs_files(tmp_path / "x.img", MIB)


def test_boot_programs_that_cannot_be(tmp_path: Path, folder: Path, capsys: Capture) -> None:
    (folder / "driver.efi").write_bytes(make_pe(subsystem=BOOT_DRIVER))
    bare = ["--hypervisor", "none"]
    for options, code, what in (
        (["--boot", folder / "driver.efi"], 3, "firmware starts only an application as"),
        (["--boot", folder / "kernel.efi"] * 2, 3, "is there already"),
        (["--initrd", folder / "kernel.efi"], 2, "--initrd: works only with --kernel"),
    ):
        assert make(folder, tmp_path / "x.img", *bare, *map(str, options)) == code
        assert what in capsys.readouterr().err


def test_image_of_data_alone(tmp_path: Path, folder: Path) -> None:
    image = tmp_path / "x.img"
    assert make(folder, image, "--hypervisor", "none", "--add", f"{folder / 'data'}:/") == 0
    assert set(oracles.pyfatfs_files(image, MIB)) == {
        "data/a.bin", "data/b.bin", "data/c.txt", "data/deep/d.bin"}  # fmt: skip


def test_options_that_contradict(build_dir: Path, tmp_path: Path, capsys: Capture) -> None:
    for options, what in (
        (["--plain-fat", "--table", "mbr"], "--plain-fat: cannot be combined with --table"),
        (["--no-hypervisor", "--hypervisor", "on"], "--no-hypervisor: cannot be combined"),
        (["--partition", "x"], "--partition: expected FILE:TYPE or"),
        (["--partition", "x:linux:a:b"], "--partition: expected FILE:TYPE or"),
        (["--partition", f"{build_dir}/ZppBoot.efi:0x83"], "a GPT has no partition type 0x83"),
    ):
        assert make(build_dir, tmp_path / "x.img", *options) == 2
        assert what in capsys.readouterr().err
