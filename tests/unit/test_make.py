"""`zpp-image make` as its user meets it: what it makes, what it refuses, what it leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import oracles
import pytest
from makepe import make_pe

from efi_image.build.options import Addition
from efi_image.cli.main import main
from efi_image.errors import UsageError
from efi_image.formats.zpp_conf import BootEntry, ZppConf, parse

MIB = 1 << 20
Capture = pytest.CaptureFixture[str]


def make(build_dir: Path, *arguments: str | Path) -> int:
    return main(["make", "--build-dir", str(build_dir), *map(str, arguments)])


def made(build_dir: Path, image: Path, *arguments: str | Path) -> dict[str, bytes]:
    """The files of an image that is made without a fault."""
    assert make(build_dir, image, *arguments) == 0
    return oracles.pyfatfs_files(image, 0 if "--plain-fat" in arguments else MIB)


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    path = tmp_path / "vmlinuz"
    path.write_bytes(make_pe(reloc_size=0, text=os.urandom(20000)))
    return path


def test_default_image(build_dir: Path, tmp_path: Path, capsys: Capture) -> None:
    image = tmp_path / "esp.img"
    files = made(build_dir, image, "--digest")
    assert set(files) == {"EFI/BOOT/BOOTX64.EFI", "EFI/zpp/ZppDxe.efi", "EFI/zpp/zpp.conf"}
    assert files["EFI/BOOT/BOOTX64.EFI"] == (build_dir / "ZppBoot.efi").read_bytes()
    assert files["EFI/zpp/ZppDxe.efi"] == (build_dir / "ZppDxe.efi").read_bytes()
    assert parse(files["EFI/zpp/zpp.conf"]) == ZppConf()
    oracles.check_gpt(image)
    oracles.check_fat(image, MIB, image.stat().st_size - 2 * MIB)
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith(f"{image}: 64.0 MiB, GPT image with a FAT32 ESP, ")
    assert "\\EFI\\zpp\\ZppDxe.efi" in out
    assert out.splitlines()[-1].startswith("sha256 ")


def test_output_is_in_the_build_directory_if_not_named(build_dir: Path) -> None:
    assert make(build_dir) == 0
    oracles.check_gpt(build_dir / "esp.img")


def test_plain_fat(build_dir: Path, tmp_path: Path) -> None:
    image = tmp_path / "esp.img"
    assert "EFI/BOOT/BOOTX64.EFI" in made(build_dir, image, "--plain-fat", "--size", "2M")
    assert image.stat().st_size == 2 * MIB
    oracles.check_fat(image)


def test_kernel(build_dir: Path, tmp_path: Path, kernel: Path) -> None:
    (tmp_path / "initrd").write_bytes(b"070701initrd")
    files = made(
        build_dir, tmp_path / "esp.img", "--kernel", kernel, "--initrd", tmp_path / "initrd",
        "--cmdline", " console=ttyS0 quiet ",
    )  # fmt: skip
    assert files["EFI/zpp/kernel.efi"] == kernel.read_bytes()
    assert files["EFI/zpp/initrd.img"] == b"070701initrd"
    assert parse(files["EFI/zpp/zpp.conf"]) == ZppConf(
        default="kernel",
        entries=(
            BootEntry(
                "kernel", "\\EFI\\zpp\\kernel.efi", "\\EFI\\zpp\\initrd.img", "console=ttyS0 quiet"
            ),
        ),
    )


def test_without_hypervisor_only_the_configuration_differs(
    build_dir: Path, tmp_path: Path, kernel: Path
) -> None:
    image = tmp_path / "esp.img"
    with_it = made(build_dir, image, "--kernel", kernel)
    without = made(build_dir, image, "--kernel", kernel, "--no-hypervisor")
    assert not parse(without.pop("EFI/zpp/zpp.conf")).hypervisor
    assert parse(with_it.pop("EFI/zpp/zpp.conf")).hypervisor
    assert with_it == without


@pytest.mark.parametrize(
    ("arguments", "environ", "port"),
    [((), "", 0x3F8), ((), "0x2f8", 0x2F8), (("--serial", "0"), "0x2f8", 0),
     (("--serial", "0x3E8"), "", 0x3E8), (("--serial", "760"), "", 760)],
)  # fmt: skip
def test_serial_port(
    build_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...], environ: str, port: int,
) -> None:  # fmt: skip
    if environ:
        monkeypatch.setenv("SERIAL_PORT", environ)
    files = made(build_dir, tmp_path / "esp.img", *arguments)
    assert parse(files["EFI/zpp/zpp.conf"]).serial == port


@pytest.mark.parametrize(
    ("arguments", "seconds"),
    [((), 10), (("--reset-after", "0"), 0), (("--reset-after", "3600"), 3600)],
)
def test_reset_after(
    build_dir: Path, tmp_path: Path, arguments: tuple[str, ...], seconds: int
) -> None:
    files = made(build_dir, tmp_path / "esp.img", *arguments)
    assert parse(files["EFI/zpp/zpp.conf"]).reset_after == seconds


@pytest.mark.parametrize(
    ("arguments", "environ", "found"),
    [
        ((), {}, (0, 3)),
        (("--menu-timeout", "5", "--boot-tries", "0"), {}, (5, 0)),
        ((), {"MENU_TIMEOUT": "7", "BOOT_TRIES": "1"}, (7, 1)),
        (("--menu-timeout", "0"), {"MENU_TIMEOUT": "7"}, (0, 3)),
    ],
)
def test_menu_and_tries(
    build_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...], environ: dict[str, str], found: tuple[int, int],
) -> None:  # fmt: skip
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    conf = parse(made(build_dir, tmp_path / "esp.img", *arguments)["EFI/zpp/zpp.conf"])
    assert (conf.menu_timeout, conf.boot_tries) == found


@pytest.fixture
def entries(tmp_path: Path) -> Path:
    folder = tmp_path / "loader"
    (folder / "entries").mkdir(parents=True)
    (folder / "entries/debian-6.1+3-0.conf").write_text("title Debian\nefi /EFI/zpp/a.efi\n")
    return folder


@pytest.mark.parametrize("default", ["debian-6.1.conf", "Debian-*", "kernel"])
def test_default_entry(
    build_dir: Path, tmp_path: Path, kernel: Path, entries: Path, default: str
) -> None:
    image = tmp_path / "esp.img"
    files = made(
        build_dir, image, "--kernel", kernel, "--add", f"{entries}:/", "--default", default
    )
    assert parse(files["EFI/zpp/zpp.conf"]).default == default


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--default", "fedora-*"), "--default: no loader entry on the image matches 'fedora-*'"),
        (("--default", "debian"), "--default: 'debian' is not the name of a loader entry"),
        (("--default", "kernel"), "--default: 'kernel' is not the name of a loader entry"),
        (("--default", "a.conf", "--hypervisor", "none"), "--default: needs ZppBoot"),
        (("--menu-timeout", "3601"), "--menu-timeout: expected 0 to 3600 seconds, not '3601'"),
        (("--boot-tries", "x"), "--boot-tries: expected 0 to 100, not 'x'"),
    ],
)
def test_bad_menu_settings(
    build_dir: Path, tmp_path: Path, entries: Path, capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...], message: str,
) -> None:  # fmt: skip
    words = [str(tmp_path / "esp.img"), "--build-dir", str(build_dir), "--add", f"{entries}:/"]
    assert main(["make", *words, *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "esp.img").exists()


@pytest.mark.parametrize(
    ("arguments", "visible"),
    [((), False), (("--hidden",), False), (("--visible",), True)],
)
def test_visible(
    build_dir: Path, tmp_path: Path, arguments: tuple[str, ...], visible: bool
) -> None:
    files = made(build_dir, tmp_path / "esp.img", *arguments)
    assert parse(files["EFI/zpp/zpp.conf"]).visible is visible


def test_added_files_and_folders(build_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "colon:folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.txt").write_bytes(b"a")
    (folder / "link.txt").symlink_to(folder / "sub" / "a.txt")
    (tmp_path / "shell.efi").write_bytes(make_pe())
    (tmp_path / "arm.efi").write_bytes(make_pe(0xAA64))
    files = made(
        build_dir, tmp_path / "esp.img",
        "--add", f"{folder}:\\data",
        "--add", f"{tmp_path / 'shell.efi'}:/efi/TOOLS/",
        "--add", f"{tmp_path / 'shell.efi'}:/",
        "--add", f"{tmp_path / 'arm.efi'}:/EFI/BOOT/BOOTAA64.EFI",
        "--add", f"{tmp_path / 'arm.efi'}:/arm.efi",
    )  # fmt: skip
    assert files["data/sub/a.txt"] == files["data/link.txt"] == b"a"
    assert {"EFI/TOOLS/shell.efi", "shell.efi", "EFI/BOOT/BOOTAA64.EFI"} <= set(files)


@pytest.mark.parametrize("text", ["", "a", ":b", ":"])
def test_addition_without_source_or_target(text: str) -> None:
    with pytest.raises(UsageError):
        Addition.parse(text)


def test_size(build_dir: Path, tmp_path: Path) -> None:
    for text, size in (
        ("3M", 3 * MIB),
        ("2097152", 2 * MIB),
        ("1GiB", 1 << 30),
        ("2048k", 2 * MIB),
    ):
        assert make(build_dir, tmp_path / "esp.img", "--plain-fat", "--size", text) == 0
        assert (tmp_path / "esp.img").stat().st_size == size


def test_many_files_are_not_all_listed(build_dir: Path, tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(100):
        (folder / f"{number:03}").write_bytes(b"")
    assert make(build_dir, tmp_path / "esp.img", "--add", f"{folder}:/many") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "more files" in lines[-1]
    assert len(lines) < 50


def test_json(build_dir: Path, tmp_path: Path, capsys: Capture) -> None:
    assert make(build_dir, tmp_path / "esp.img", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["output"] == str(tmp_path / "esp.img")
    assert report["size"] == 64 * MIB
    assert report["files"][0]["path"] == "\\EFI\\BOOT\\BOOTX64.EFI"


def test_source_date_is_all_that_the_time_changes(
    build_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    made(build_dir, tmp_path / "a.img")
    os.utime(build_dir / "ZppBoot.efi", (1, 1))
    made(build_dir, tmp_path / "b.img")
    assert (tmp_path / "a.img").read_bytes() == (tmp_path / "b.img").read_bytes()
    listing = oracles.run("mdir", "-i", f"{tmp_path / 'a.img'}@@1M", "::/EFI/zpp")
    assert "2023-11-14" in listing


# ---- how it ends


def start_make(
    build_dir: Path, image: Path, big: Path, handler: signal.Handlers
) -> subprocess.Popen[str]:
    """zpp-image at work on a large file; signals are as the caller wants, not as inherited."""

    def set_signals() -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, handler)

    return subprocess.Popen(
        [sys.executable, "-m", "efi_image", "make", "--build-dir", build_dir, image,
         "--add", f"{big}:/big.bin", "--digest"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=set_signals,  # noqa: PLW1509
    )  # fmt: skip


def wait_for_second_file(process: subprocess.Popen[str], folder: Path) -> None:
    """Wait until the process writes its temporary file."""
    deadline = time.monotonic() + 60
    while len(list(folder.iterdir())) < 2:
        assert process.poll() is None, "it ended before it was seen to write"
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """A file of holes, which are read and hashed all the same."""
    path = tmp_path / "big.bin"
    path.touch()
    os.truncate(path, 300 * MIB)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "word"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGHUP, 143, "terminated"),
    ],
)
def test_signal_leaves_no_half_written_file(
    build_dir: Path, tmp_path: Path, big: Path, number: signal.Signals, code: int, word: str
) -> None:
    folder = tmp_path / "output"
    folder.mkdir()
    image = folder / "esp.img"
    image.write_bytes(b"old")
    process = start_make(build_dir, image, big, signal.SIG_DFL)
    wait_for_second_file(process, folder)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (code, f"zpp-image: {word}\n")
    assert list(folder.iterdir()) == [image]
    assert image.read_bytes() == b"old"


@pytest.mark.slow
def test_memory_does_not_grow_with_the_files(build_dir: Path, tmp_path: Path, big: Path) -> None:
    """The kernel's high-water mark of the process alone, not of the one it was forked from."""
    code = (
        "import pathlib, re, sys\n"
        "from efi_image.cli.main import main\n"
        "assert main(sys.argv[1:]) == 0\n"
        "status = pathlib.Path('/proc/self/status').read_text()\n"
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', status)[1])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, "make", "--build-dir", build_dir, tmp_path / "esp.img",
         "--add", f"{big}:/big.bin"],
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    assert int(result.stdout.splitlines()[-1]) < 50 * 1024  # KiB; the file has 300 MiB


@pytest.mark.slow
def test_ignored_signals_stay_ignored(build_dir: Path, tmp_path: Path, big: Path) -> None:
    folder = tmp_path / "output"
    folder.mkdir()
    (folder / "esp.img").touch()
    process = start_make(build_dir, folder / "esp.img", big, signal.SIG_IGN)
    wait_for_second_file(process, folder)
    process.send_signal(signal.SIGHUP)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert (folder / "esp.img").stat().st_size > 300 * MIB


def test_full_disk(build_dir: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk."""
    folder = tmp_path / "output"
    folder.mkdir()
    code = (
        "import resource, signal, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from efi_image.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, "make", "--build-dir", build_dir, folder / "esp.img"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 4
    assert "esp.img: cannot be written: File too large" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list(folder.iterdir()) == []
