"""The public API: what `import efi_image` gives, and that it costs little."""

from __future__ import annotations

import importlib
import inspect as introspection
import json
import os
import pydoc
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from makepe import make_pe

import efi_image
from efi_image import errors, flash
from efi_image.cli.main import main
from efi_image.errors import DoesNotFitError, InputError, OutputError, UnsafeTarget, UsageError

ROOT = Path(__file__).parents[2]
MIB = 1 << 20
FUNCTIONS = ("make", "verify", "inspect", "write")


def test_import_is_cheap() -> None:
    """Without site-packages, and without any other part of the package."""
    code = "import sys, efi_image; print(*[n for n in sys.modules if n.startswith('efi_image')])"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(done.stdout.split()) == {"efi_image", "efi_image.errors"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_stay_functions_beside_packages_of_the_same_name(name: str) -> None:
    for module in ("verify.report", "inspect.image", "verify", "inspect"):
        importlib.import_module(f"efi_image.{module}")
    assert introspection.isfunction(getattr(efi_image, name))
    assert name in efi_image.__all__


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstrings_name_arguments_results_errors_and_sources(name: str) -> None:
    function = getattr(efi_image, name)
    text = pydoc.plain(pydoc.render_doc(function))
    parts = re.split(r"\n    (Args|Returns|Raises|Sources?):", text)
    assert parts[1::2][:3] == ["Args", "Returns", "Raises"]
    assert parts[-2].startswith("Source")
    documented = re.findall(r"^        (\w+):", parts[2], re.M)
    assert documented == list(introspection.signature(function).parameters)
    for error in re.findall(r"^        (\w+):", parts[6], re.M):
        assert issubclass(getattr(errors, error), efi_image.ZppError)


def test_make_is_the_command(build_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "kernel.efi").write_bytes(make_pe())
    (tmp_path / "root.img").write_bytes(b"root" * 1000)
    report = efi_image.make(
        tmp_path / "a.img",
        build_dir=build_dir,
        kernel=tmp_path / "kernel.efi",
        cmdline="quiet",
        files=[(tmp_path / "root.img", "/data/")],
        partitions=[(tmp_path / "root.img", "linux", "root"), (tmp_path / "root.img", "swap")],
        size=40 * MIB,
        fat=16,
        volume_serial="1234-ABCD",
        serial=0x2F8,
        digest=True,
    )
    kernel, root = tmp_path / "kernel.efi", tmp_path / "root.img"
    words = ["--kernel", f"{kernel}", "--cmdline", "quiet", "--add", f"{root}:/data/",
             "--partition", f"{root}:linux:root", "--partition", f"{root}:swap",
             "--size", "40M", "--fat", "16", "--volume-serial", "1234-abcd",
             "--serial", "0x2f8"]  # fmt: skip
    assert main(["make", str(tmp_path / "b.img"), "--build-dir", str(build_dir), *words]) == 0
    assert (tmp_path / "a.img").read_bytes() == (tmp_path / "b.img").read_bytes()
    assert (report.size, report.fat, report.serial) == (40 * MIB, "FAT16", "1234-ABCD")
    assert [each.name for each in report.partitions[1:]] == ["root", ""]


def test_make_takes_a_manifest_and_arguments_override_it(build_dir: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "disk.toml"
    manifest.write_text('output = "disk.img"\nsize = "40M"\nlabel = "MINE"\n')
    report = efi_image.make(manifest=manifest, build_dir=build_dir, size="5M")
    assert (report.output, report.size) == (str(tmp_path / "disk.img"), 5 * MIB)
    assert report.label == "MINE"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"size": "big"}, UsageError, "size: expected a size"),
        ({"size": 1 << 20}, DoesNotFitError, "size: 1048576 bytes are too few"),
        ({"fat": 24}, UsageError, "fat: expected 12, 16 or 32"),
        ({"table": "apm"}, UsageError, "table: expected gpt"),
        ({"sector_size": 520}, UsageError, "sector_size: expected 512 or 4096"),
        ({"kernel": "none"}, InputError, "none: does not exist"),
        ({"cmdline": "quiet"}, UsageError, "cmdline: works only with --kernel"),
        ({"partitions": [("x", "lin")]}, UsageError, "partitions: unknown partition type 'lin'"),
        ({"bmap": "none/x"}, OutputError, "none/x: its directory does not exist"),
    ],
)
def test_errors_of_make_name_the_argument(
    build_dir: Path, tmp_path: Path, arguments: dict[str, object], error: type[Exception],
    message: str,
) -> None:  # fmt: skip
    with pytest.raises(error) as caught:
        efi_image.make(tmp_path / "x.img", build_dir=build_dir, **arguments)  # type: ignore[arg-type]
    assert str(caught.value).startswith(message)
    assert not (tmp_path / "x.img").exists()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image without zpp that boots."""
    (tmp_path / "boot.efi").write_bytes(make_pe())
    path = tmp_path / "x.img"
    efi_image.make(path, hypervisor="none", boot=[tmp_path / "boot.efi"])
    return path


def test_verify(image: Path, tmp_path: Path) -> None:
    assert efi_image.verify(image, machines=["x64"], cross_check=True).clean
    assert not efi_image.verify(image, machines=["AA64"]).clean
    with pytest.raises(UsageError, match="machines: expected one of"):
        efi_image.verify(image, machines=["pdp11"])
    with pytest.raises(UsageError, match="dbx: needs db"):
        efi_image.verify(image, dbx=[image])
    with pytest.raises(InputError, match="does not exist"):
        efi_image.verify(tmp_path / "none")


def test_inspect_is_the_document_of_the_command(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in (image, image.with_name("boot.efi")):
        assert main(["inspect", "--json", str(file)]) == 0
        assert efi_image.inspect(file) == json.loads(capsys.readouterr().out)


def test_write(image: Path, tmp_path: Path) -> None:
    report = efi_image.write(image, tmp_path / "stick")
    assert report.verified == report.written + report.zeroed > 0
    assert (tmp_path / "stick").read_bytes() == image.read_bytes()
    with pytest.raises(UsageError):
        efi_image.write(image, tmp_path / "stick", eject=True)


def test_write_erases_a_disk_only_by_its_number(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = SimpleNamespace(key="4C53", path="/dev/sdz")

    def write(_options: object, confirm: Callable[..., None], _watch: object) -> None:
        confirm(disk, None)

    monkeypatch.setattr(flash, "write", write)
    efi_image.write(image, "/dev/sdz", yes_erase="4C53")
    for number in (None, "", "4C54"):
        with pytest.raises(UnsafeTarget, match=r"^/dev/sdz: .*yes_erase='4C53'"):
            efi_image.write(image, "/dev/sdz", yes_erase=number)


def test_example(
    image: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a program in place of the built ones."""
    without_zpp = partial(
        efi_image.make, hypervisor="none", boot=[image.with_name("boot.efi")], kernel=None
    )
    monkeypatch.setattr(
        efi_image, "make", lambda output, **options: without_zpp(output, digest=options["digest"])
    )
    example = runpy.run_path(str(ROOT / "examples" / "make_and_check.py"))
    assert example["main"](str(image)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "it can boot"
    assert any("\\EFI\\BOOT\\BOOTX64.EFI" in line for line in lines)
    image.with_name("boot.efi").unlink()
    assert example["main"](str(image)) == errors.ExitCode.INPUT
    assert "does not exist" in capsys.readouterr().err
