"""`zpp-image make`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import click

from efi_image.build.image import Report, make_image
from efi_image.build.options import Addition, Hypervisor, OutputFormat, ResolvedOptions
from efi_image.build.partitions import Table
from efi_image.cli.json_output import show_json
from efi_image.cli.path_type import PathType
from efi_image.cli.progress_bar import ProgressBar
from efi_image.cli.terminal import columns
from efi_image.config import manifest, show
from efi_image.config.environment import Setting, load
from efi_image.config.resolve import resolve
from efi_image.config.settings import KEYS, Settings, merge
from efi_image.config.values import parse_partition
from efi_image.errors import ExitCode, OutputError, UsageError
from efi_image.render.text import human

LISTED = 40  # files

# option → the setting that it stands for
SHORTHANDS = {
    "--plain-fat": ("table", Table.NONE.value),
    "--no-hypervisor": ("hypervisor", Hypervisor.OFF.value),
}


@click.command("make")
@click.argument("output", required=False)
@click.option(
    "--manifest",
    "manifest_path",
    metavar="FILE",
    type=PathType(path_type=Path),
    help="TOML file with the same settings; options override it.",
)
@click.option("--kernel", metavar="FILE", help="Linux kernel, UKI or other EFI program to start.")
@click.option("--initrd", metavar="FILE", help="Initial RAM disk of the kernel.")
@click.option("--cmdline", metavar="TEXT", help="Command line of the kernel.")
@click.option(
    "--rootfs",
    metavar="DIR",
    help="Add a partition with a Linux root file system (ext4) from a directory, and boot it, with "
    "its newest kernel unless --kernel is given.",
)
@click.option(
    "--rootfs-size",
    metavar="SIZE",
    help="Size of that partition.  [default: 1.5 times the files, with at least 256M free]",
)
@click.option(
    "--boot",
    metavar="FILE",
    multiple=True,
    help="EFI program or UKI to put at \\EFI\\BOOT\\BOOT….EFI of its machine. Repeatable.",
)
@click.option(
    "--add",
    "additions",
    metavar="SOURCE:TARGET",
    multiple=True,
    help="Add a file, a directory, or all files that match a pattern. Repeatable.",
)
@click.option(
    "--partition",
    "partitions",
    metavar="FILE:TYPE[:NAME]",
    multiple=True,
    help="Add a partition; TYPE is a name such as linux or swap, or a GUID. Repeatable.",
)
@click.option(
    "--size",
    metavar="SIZE",
    help="Size of the image, such as 512M or 2G; min: as small as possible.  "
    "[default: 64M, or more if the files need it]",
)
@click.option(
    "--table",
    type=click.Choice([each.value for each in Table]),
    help="Partition table; none: a FAT volume alone; iso: a GPT, and an ISO 9660 file system "
    "that boots from optical media.  [default: gpt; iso for OUTPUT .iso]",
)
@click.option("--plain-fat", is_flag=True, help="The same as --table none.")
@click.option("--fat", type=click.Choice(["12", "16", "32"]), help="FAT type.  [default: by size]")
@click.option(
    "--sector-size",
    type=click.Choice(["512", "4096"]),
    help="Sector size in bytes of the medium that the image is for.  [default: 512]",
)
@click.option("--align", metavar="SIZE", help="Alignment of partitions.  [default: 1M]")
@click.option("--label", metavar="TEXT", help="Label of the FAT volume.  [default: ZPP]")
@click.option(
    "--volume-serial",
    metavar="HEX",
    help="Serial number of the FAT volume.  [default: derived from the files]",
)
@click.option("--disk-guid", metavar="GUID", help="GUID of the disk (GPT).  [default: derived]")
@click.option(
    "--partition-guid",
    metavar="GUID",
    help="GUID of the FAT volume's partition (GPT).  [default: derived]",
)
@click.option(
    "--disk-signature", metavar="HEX", help="Signature of the disk (MBR).  [default: derived]"
)
@click.option(
    "--hypervisor",
    type=click.Choice([each.value for each in Hypervisor]),
    help="off: zpp is on the image, but not started; none: zpp is not on it.  [default: on]",
)
@click.option("--no-hypervisor", is_flag=True, help="The same as --hypervisor off.")
@click.option(
    "--serial", metavar="PORT", help="I/O port of the log; 0: none.  [default: SERIAL_PORT]"
)
@click.option(
    "--visible/--hidden",
    default=None,
    help="Whether CPUID shows zpp to the system.  [default: hidden]",
)
@click.option(
    "--reset-after",
    metavar="SECONDS",
    help="Time from a crash of zpp to the reset; 0: no reset.  [default: 10]",
)
@click.option(
    "--menu-timeout",
    metavar="SECONDS",
    help="Time that the boot menu waits; 0: show it only if a key is pressed.  "
    "[default: MENU_TIMEOUT]",
)
@click.option(
    "--boot-tries",
    metavar="NUMBER",
    help="Failed boots in a row before zpp is turned off; 0: never.  [default: BOOT_TRIES]",
)
@click.option(
    "--default",
    metavar="ENTRY",
    help="Start this loader entry, such as debian.conf or 'debian-*'.  "
    "[default: the kernel, or the firmware's next boot option]",
)
@click.option(
    "--build-dir",
    metavar="DIR",
    help="Directory of ZppBoot.efi and ZppDxe.efi.  [default: out/CONFIGURATION/ARCHITECTURE]",
)
@click.option(
    "--digest/--no-digest",
    default=None,
    help="Compute the SHA-256 of the image and of each file.  [default: no]",
)
@click.option(
    "--output-format",
    type=click.Choice([each.value for each in OutputFormat]),
    help="Format of the image file.  [default: by the suffix of OUTPUT, else raw]",
)
@click.option("--bmap", metavar="FILE", help="Write a bmap file for bmaptool as well.")
@click.option("--show", "only_show", is_flag=True, help="Show the merged settings; make nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def command(
    manifest_path: Path | None,
    boot: tuple[str, ...],
    additions: tuple[str, ...],
    partitions: tuple[str, ...],
    only_show: bool,
    as_json: bool,
    **single: str | bool | None,
) -> None:
    """Make a bootable image with the hypervisor on it.

    OUTPUT is a GPT image whose EFI system partition has the built hypervisor, the boot
    program and zpp.conf. Without --kernel it starts the firmware's next boot option.
    Without OUTPUT the image is esp.img in the build directory. An existing file is replaced
    only when everything went well. The same files give the same bytes; SOURCE_DATE_EPOCH
    sets their time. The suffix of OUTPUT chooses its format: .gz, .xz, .zst, .qcow2, .vhd,
    .vhdx, .vmdk, .vdi, else raw; `-` is standard output.

    \b
    Examples:
      zpp-image make esp.img
      zpp-image make usb.img --kernel vmlinuz --initrd initrd.img --cmdline 'console=ttyS0 quiet'
      zpp-image make tools.img --hypervisor none --add shell.efi:/EFI/BOOT/BOOTX64.EFI
      zpp-image make small.img --plain-fat --size 8M --add docs:/docs --json
      zpp-image make stick.iso --size min
      zpp-image make disk.qcow2 --partition root.img:linux-root-x86-64:root
      zpp-image make - --hypervisor none --boot uki.efi --bmap disk.bmap | zstd > disk.zst
      zpp-image make --manifest disk.toml --size 2G --show
    """
    given = Settings(
        _values(single),
        tuple(map(Path, boot)),
        tuple(map(Addition.parse, additions)),
        tuple(parse_partition(text, "--partition") for text in partitions),
    )
    layers = [manifest.load(manifest_path)] if manifest_path else []
    settings = merge(load(), *layers, given)
    if only_show:
        if as_json:
            show_json(show.document(None, settings))
        else:
            click.echo(show.as_table(None, settings, columns()))
        return
    options = resolve(settings)
    report = _make(options)
    is_taken = options.to_standard_output  # by the image
    if as_json:
        show_json(report, err=is_taken)
    else:
        click.echo(_summary(report), err=is_taken)


def _make(options: ResolvedOptions) -> Report:
    if options.to_standard_output and sys.stdout is None:
        raise OutputError("is closed", where=options.output_name)
    with ProgressBar() as bar:
        try:
            return make_image(options, progress=bar.progress)
        except BrokenPipeError:
            # the image is not complete, but nobody reads a message about it
            click.get_current_context().exit(ExitCode.READER_GONE)


def _values(single: Mapping[str, str | bool | None]) -> dict[str, Setting]:
    """The settings that were given; raises UsageError if two options contradict each other."""
    found = [
        Setting(key, value, option)
        for option, (key, value) in SHORTHANDS.items()
        if single[option.removeprefix("--").replace("-", "_")]
    ]
    for key in KEYS:
        value = single[key.replace("-", "_")]
        if value is not None:
            text = value if isinstance(value, str) else "on" if value else "off"
            found.append(Setting(key, text, f"--{key}" if key != "output" else "OUTPUT"))
    values: dict[str, Setting] = {}
    for setting in found:
        before = values.setdefault(setting.name, setting)
        if before.value != setting.value:
            raise UsageError(f"cannot be combined with {setting.origin}", where=before.origin)
    return values


def _summary(report: Report) -> str:
    has_table = report.table != Table.NONE.value
    kind = f"{report.table.upper()} image with a" if has_table else "plain"
    volume = f"{report.fat} {'ESP' if has_table else 'volume'}"
    rows = [(file.path, file.size) for file in report.files[:LISTED]]
    more = len(report.files) - len(rows)
    rows += [(f"partition {part.name or part.type}", part.size) for part in report.partitions[1:]]
    width = max((len(name) for name, _ in rows), default=0)
    lines = [
        f"{report.output}: {human(report.size)}, {kind} {volume}, {human(report.free)} free",
        *(f"  {name:{width}}  {human(size):>10}" for name, size in rows),
    ]
    if more:
        lines.append(f"  … and {more} more files; list them with --json")
    if report.sha256:
        lines.append(f"sha256 {report.sha256}")
    return "\n".join(lines)
