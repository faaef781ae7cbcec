"""What `zpp-image make` refuses, with which exit code, and that it leaves the output as it was."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from makepe import BOOT_DRIVER, make_pe
from test_make import Capture, make


def bad_missing(build_dir: Path, _tmp: Path) -> list[str]:
    (build_dir / "ZppDxe.efi").unlink()
    return []


def bad_truncated(build_dir: Path, _tmp: Path) -> list[str]:
    os.truncate(build_dir / "ZppDxe.efi", 1000)
    return []


def bad_empty(build_dir: Path, _tmp: Path) -> list[str]:
    os.truncate(build_dir / "ZppBoot.efi", 0)
    return []


def bad_machine(build_dir: Path, _tmp: Path) -> list[str]:
    (build_dir / "ZppBoot.efi").write_bytes(make_pe(0xAA64))
    return []


def bad_swapped(build_dir: Path, _tmp: Path) -> list[str]:
    (build_dir / "ZppBoot.efi").replace(build_dir / "ZppDxe.efi")
    (build_dir / "ZppBoot.efi").write_bytes(make_pe(subsystem=BOOT_DRIVER))
    return []


def bad_kernel(_build: Path, tmp: Path) -> list[str]:
    (tmp / "bzImage").write_bytes(b"MZ" + bytes(0x200) + b"HdrS" + bytes(1000))
    return ["--kernel", str(tmp / "bzImage")]


def bad_kernel_folder(_build: Path, tmp: Path) -> list[str]:
    return ["--kernel", str(tmp)]


def bad_initrd_alone(_build: Path, tmp: Path) -> list[str]:
    return ["--initrd", str(tmp / "initrd")]


def bad_cmdline_alone(_build: Path, _tmp: Path) -> list[str]:
    return ["--cmdline", "quiet"]


def bad_kernel_without_zpp(build_dir: Path, _tmp: Path) -> list[str]:
    return ["--kernel", str(build_dir / "ZppBoot.efi"), "--hypervisor", "none"]


def bad_cmdline(build_dir: Path, _tmp: Path) -> list[str]:
    return ["--kernel", str(build_dir / "ZppBoot.efi"), "--cmdline", "a\nb"]


def bad_name(build_dir: Path, _tmp: Path) -> list[str]:
    return ["--add", f"{build_dir / 'ZppBoot.efi'}:/EFI/what?.efi"]


def bad_name_in_folder(_build: Path, tmp: Path) -> list[str]:
    (tmp / "folder").mkdir()
    (tmp / "folder" / "a:b").write_bytes(b"")
    return ["--add", f"{tmp / 'folder'}:/data"]


def bad_backslash(_build: Path, tmp: Path) -> list[str]:
    (tmp / "folder").mkdir()
    (tmp / "folder" / "a\\b").write_bytes(b"")
    return ["--add", f"{tmp / 'folder'}:/data"]


def bad_unicode_name(_build: Path, tmp: Path) -> list[str]:
    (tmp / "folder").mkdir()
    (Path(os.fsdecode(os.fsencode(tmp / "folder") + b"/\xff"))).write_bytes(b"")
    return ["--add", f"{tmp / 'folder'}:/data"]


def bad_added_machine(_build: Path, tmp: Path) -> list[str]:
    (tmp / "arm.efi").write_bytes(make_pe(0xAA64))
    return ["--add", f"{tmp / 'arm.efi'}:/tools/arm.efi"]


def bad_twice(build_dir: Path, _tmp: Path) -> list[str]:
    return ["--add", f"{build_dir / 'ZppBoot.efi'}:/EFI/BOOT/BOOTX64.EFI"]


def bad_fifo(_build: Path, tmp: Path) -> list[str]:
    (tmp / "folder").mkdir()
    os.mkfifo(tmp / "folder" / "fifo")
    return ["--add", f"{tmp / 'folder'}:/data"]


def bad_link(_build: Path, tmp: Path) -> list[str]:
    (tmp / "folder").mkdir()
    (tmp / "folder" / "loop").symlink_to(tmp / "folder")
    return ["--add", f"{tmp / 'folder'}:/data"]


def bad_no_colon(_build: Path, _tmp: Path) -> list[str]:
    return ["--add", "file"]


def bad_too_small(_build: Path, _tmp: Path) -> list[str]:
    return ["--size", "1M"]


def bad_size(_build: Path, _tmp: Path) -> list[str]:
    return ["--size", "big"]


def bad_huge_size(_build: Path, _tmp: Path) -> list[str]:
    return ["--size", "4T"]


def bad_port(_build: Path, _tmp: Path) -> list[str]:
    return ["--serial", "com1"]


def bad_option(_build: Path, _tmp: Path) -> list[str]:
    return ["--sizes", "1M"]


def bad_sector(_build: Path, _tmp: Path) -> list[str]:
    return ["--sector-size", "520"]


Bad = Callable[[Path, Path], list[str]]


@pytest.mark.parametrize("old", [True, False], ids=["old", "new"])
@pytest.mark.parametrize(
    ("prepare", "code", "what"),
    [
        (bad_missing, 3, "ZppDxe.efi: does not exist; run `make` in a clone of zpp"),
        (bad_truncated, 3, "ZppDxe.efi: is truncated: it has 1000 bytes"),
        (bad_empty, 3, "ZppBoot.efi: is not a PE file, or is truncated"),
        (bad_machine, 3, "ZppBoot.efi: is for Arm (64 bits), not x86-64"),
        (bad_swapped, 3, "is a UEFI boot-service driver, not a UEFI application"),
        (bad_kernel, 3, "build the kernel with CONFIG_EFI_STUB=y"),
        (bad_kernel_folder, 3, "is a directory"),
        (bad_initrd_alone, 2, "--initrd: works only with --kernel"),
        (bad_cmdline_alone, 2, "--cmdline: works only with --kernel or --rootfs"),
        (bad_kernel_without_zpp, 2, "--kernel: needs ZppBoot, which --hypervisor none leaves out"),
        (bad_cmdline, 2, "cmdline: 'a\\nb' is not allowed in zpp.conf"),
        (bad_name, 3, "/EFI/what?.efi: FAT does not allow the name 'what?.efi': it contains '?'"),
        (bad_name_in_folder, 3, "FAT does not allow the name 'a:b'"),
        (bad_backslash, 3, "it contains '\\\\'"),
        (bad_unicode_name, 3, "is not valid Unicode"),
        (
            bad_added_machine,
            3,
            "arm.efi: is for Arm (64 bits), but \\tools\\arm.efi must be for x86-64",
        ),
        (bad_twice, 3, "\\EFI\\BOOT\\BOOTX64.EFI: is there already"),
        (bad_fifo, 3, "fifo: is not a regular file"),
        (bad_link, 3, "loop: is a link to a directory"),
        (bad_no_colon, 2, "file: expected SOURCE:TARGET"),
        (bad_too_small, 5, "--size: 1048576 bytes are too few for these files; 3M is enough"),
        (bad_size, 2, "--size: expected a size such as 64M or 1.5G, not 'big'"),
        (bad_huge_size, 5, "are more than a FAT volume can have"),
        (bad_port, 2, "--serial: expected an I/O port"),
        (bad_option, 2, "No such option"),
        (bad_sector, 2, "520"),
    ],
)
def test_bad_input(
    build_dir: Path, tmp_path: Path, capsys: Capture, prepare: Bad, code: int, what: str, old: bool
) -> None:
    arguments = prepare(build_dir, tmp_path)
    folder = tmp_path / "output"
    folder.mkdir()
    image = folder / "esp.img"
    if old:
        image.write_bytes(b"old")
    assert make(build_dir, image, *arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("zpp-image: ")
    assert err.endswith("\n")
    assert err.removesuffix("\n").isprintable()
    assert what in err
    assert list(folder.iterdir()) == ([image] if old else [])
    assert not old or image.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("output", "what"),
    [
        (".", "is a directory; "),
        ("fifo", "is a FIFO"),
        ("/dev/null", "is a device; "),
        ("none/esp.img", "its directory does not exist"),
        ("/proc/esp.img", "cannot be written: "),
    ],
)
def test_bad_output(
    build_dir: Path, tmp_path: Path, capsys: Capture, output: str, what: str
) -> None:
    os.mkfifo(tmp_path / "fifo")
    before = sorted(tmp_path.iterdir())
    assert make(build_dir, tmp_path / output) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("zpp-image: ")
    assert what in err
    assert len(err.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before


def test_block_device_is_refused(build_dir: Path, tmp_path: Path, capsys: Capture) -> None:
    device = tmp_path / "disk"
    try:
        os.mknod(device, 0o60600, os.makedev(7, 255))
    except PermissionError:
        device = next((p for p in Path("/dev").iterdir() if p.is_block_device()), device)
    assert device.is_block_device(), "this test needs root, or a block device in /dev"
    assert make(build_dir, device) == 4
    assert "is a device; make an image file" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--kernel", "--initrd", "--boot", "--add", "--bmap"])
def test_an_input_is_never_overwritten(
    option: str, build_dir: Path, tmp_path: Path, capsys: Capture
) -> None:
    """Neither by its name nor by a link to it."""
    program = (build_dir / "ZppBoot.efi").read_bytes()
    given, kernel = tmp_path / "given", tmp_path / "kernel"
    content = b"070701" if option == "--initrd" else program
    given.write_bytes(content)
    kernel.write_bytes(program)
    link = tmp_path / "link"
    link.symlink_to(given)
    needed: dict[str, list[str | Path]] = {
        "--initrd": ["--kernel", kernel],
        "--bmap": ["--kernel", given],
        "--boot": ["--hypervisor", "none"],
    }
    more = needed.get(option, [])
    value = f"{given}:/x.bin" if option == "--add" else given
    output = tmp_path / "x.img" if option == "--bmap" else link
    words = [option, value] if option != "--bmap" else [option, link]
    assert make(build_dir, output, *map(str, [*words, *more])) == 2
    assert f"is also an input ({given})" in capsys.readouterr().err
    assert given.read_bytes() == content
