"""`zpp-image make`."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict
from pathlib import Path

import click

from efi_image.config import load
from efi_image.errors import UsageError
from efi_image.esp import Addition, EspOptions, contents
from efi_image.image import ImageOptions, Report, build, source_date

_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


def parse_size(text: str) -> int:
    """Bytes: `65536`, `64M`, `1GiB` (units are powers of 1024)."""
    match = re.fullmatch(r"(\d{1,15})([KMGT]?)(?:i?B)?", text.strip(), re.I | re.ASCII)
    if match is None:
        raise UsageError(f"expected a size such as 64M or 1G, not '{text}'", where="--size")
    return int(match[1]) << _UNITS[match[2].upper()]


def parse_port(text: str) -> int:
    """An I/O port, or 0 for none."""
    match = re.fullmatch(r"0[xX][0-9a-fA-F]{1,4}|\d{1,5}", text.strip(), re.ASCII)
    port = int(text, 16 if text.lower().startswith("0x") else 10) if match else -1
    if not 0 <= port <= 0xFFF8:
        raise UsageError(
            f"expected an I/O port such as 0x3f8, or 0, not '{text}'", where="--serial"
        )
    return port


def human(size: int) -> str:
    """A size for people."""
    amount = float(size)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def _summary(report: Report) -> str:
    kind = "GPT image with a" if report.partitioned else "plain"
    volume = f"{report.fat} {'ESP' if report.partitioned else 'volume'}"
    width = max(len(file.path) for file in report.files)
    lines = [
        f"{report.output}: {human(report.size)}, {kind} {volume}, {human(report.free)} free",
        *(f"  {file.path:{width}}  {human(file.size):>10}" for file in report.files),
    ]
    if report.sha256:
        lines.append(f"sha256 {report.sha256}")
    return "\n".join(lines)


@click.command("make")
@click.argument("output", required=False, type=click.Path(path_type=Path))
@click.option(
    "--kernel", metavar="FILE", default="", help="Linux kernel, or any EFI program, to start."
)
@click.option("--initrd", metavar="FILE", default="", help="Initial RAM disk of the kernel.")
@click.option("--cmdline", metavar="TEXT", default="", help="Command line of the kernel.")
@click.option(
    "--add",
    "additions",
    metavar="SOURCE:TARGET",
    multiple=True,
    help="Put a file or directory on the image, too; may be repeated.",
)
@click.option("--size", metavar="SIZE", help="Size of the image, such as 512M or 2G.")
@click.option("--plain-fat", is_flag=True, help="A FAT volume alone, without a partition table.")
@click.option(
    "--sector-size",
    type=click.Choice(["512", "4096"]),
    default="512",
    show_default=True,
    help="Sector size of the medium that the image is for.",
)
@click.option("--no-hypervisor", is_flag=True, help="Start the system without the hypervisor.")
@click.option(
    "--serial", metavar="PORT", help="I/O port of the log; 0: none. [default: SERIAL_PORT]"
)
@click.option(
    "--build-dir",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where ZppBoot.efi and ZppDxe.efi are. [default: out/CONFIGURATION/ARCHITECTURE]",
)
@click.option(
    "--digest/--no-digest",
    default=False,
    help="Compute the SHA-256 of the image and of each file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def command(
    output: Path | None,
    kernel: str,
    initrd: str,
    cmdline: str,
    additions: tuple[str, ...],
    size: str | None,
    plain_fat: bool,
    sector_size: str,
    no_hypervisor: bool,
    serial: str | None,
    build_dir: Path | None,
    digest: bool,
    as_json: bool,
) -> None:
    """Make a bootable image with the hypervisor on it.

    OUTPUT is a GPT image whose EFI system partition holds the built hypervisor, the boot
    program and zpp.conf. Without --kernel it starts the firmware's next boot option.
    OUTPUT is esp.img in the build directory if it is left out; it is replaced only when
    all went well. The same files give the same bytes; SOURCE_DATE_EPOCH sets their time.
    """
    config = load()
    directory = build_dir or config.build_directory
    items = contents(
        EspOptions(
            build_directory=directory,
            kernel=kernel,
            initrd=initrd,
            cmdline=cmdline,
            additions=tuple(Addition.parse(text) for text in additions),
            hypervisor=not no_hypervisor,
            serial=config.serial_port if serial is None else parse_port(serial),
        )
    )
    options = ImageOptions(
        size=None if size is None else parse_size(size),
        partitioned=not plain_fat,
        sector_size=int(sector_size),
        seconds=source_date(os.environ),
        digest=digest,
    )
    report = build(items, options, output or directory / "esp.img")
    click.echo(json.dumps(asdict(report), indent=2) if as_json else _summary(report))
