"""`zpp-image make`: its options; commands/making.py does the work."""

from __future__ import annotations

from pathlib import Path

import click

from efi_image.cli.make_options import CHOICES, Asked, make

EXAMPLES = """\b
Examples:
  zpp-image make --kernel vmlinuz --initrd initrd.img --cmdline 'console=ttyS0'
  zpp-image make stick.iso --size min
  zpp-image make disk.qcow2 --partition root.img:linux-root-x86-64:root
  zpp-image make - --hypervisor none --boot uki.efi --bmap disk.bmap | zstd > disk.zst
  zpp-image make --manifest disk.toml --size 2G --show
"""


@click.command("make", epilog=EXAMPLES)
@click.argument("output", required=False, type=click.Path(path_type=Path))
@click.option(
    "--manifest",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="TOML file with the same settings; options override it.",
)
@click.option("--kernel", metavar="FILE", help="Linux kernel, UKI, or any EFI program, to start.")
@click.option("--initrd", metavar="FILE", help="Initial RAM disk of the kernel.")
@click.option("--cmdline", metavar="TEXT", help="Command line of the kernel.")
@click.option(
    "--boot",
    "boots",
    metavar="FILE",
    multiple=True,
    help="EFI program or UKI for \\EFI\\BOOT\\BOOT….EFI of its machine; may be repeated.",
)
@click.option(
    "--add",
    "additions",
    metavar="SOURCE:TARGET",
    multiple=True,
    help="Put a file, directory or all that matches a pattern on the image; may be repeated.",
)
@click.option(
    "--partition",
    "partitions",
    metavar="FILE:TYPE[:NAME]",
    multiple=True,
    help="A further partition; TYPE such as linux, swap, or a GUID; may be repeated.",
)
@click.option(
    "--size", metavar="SIZE", help="Size of the image, such as 512M or 2G; min: the smallest."
)
@click.option(
    "--table",
    type=click.Choice(CHOICES["table"]),
    help="Partition table; none: a FAT volume alone; iso: a GPT, and an ISO 9660 file system "
    "that starts from optical media.  [default: gpt; iso for OUTPUT .iso]",
)
@click.option("--plain-fat", is_flag=True, help="The same as --table none.")
@click.option("--fat", type=click.Choice(CHOICES["fat"]), help="FAT type. [default: by size]")
@click.option(
    "--sector-size",
    type=click.Choice(CHOICES["sector-size"]),
    help="Sector size of the medium that the image is for.  [default: 512]",
)
@click.option("--align", metavar="SIZE", help="Where partitions begin.  [default: 1M]")
@click.option("--label", metavar="TEXT", help="Label of the FAT volume.  [default: ZPP]")
@click.option("--volume-serial", metavar="HEX", help="Serial number of the FAT volume.")
@click.option("--disk-guid", metavar="GUID", help="GUID of the disk (GPT).")
@click.option("--partition-guid", metavar="GUID", help="GUID of the FAT volume's partition (GPT).")
@click.option("--disk-signature", metavar="HEX", help="Signature of the disk (MBR).")
@click.option(
    "--hypervisor",
    type=click.Choice(CHOICES["hypervisor"]),
    help="off: on the image, but not started; none: no file of zpp at all.  [default: on]",
)
@click.option("--no-hypervisor", is_flag=True, help="The same as --hypervisor off.")
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
    default=None,
    help="Compute the SHA-256 of the image and of each file. [default: no]",
)
@click.option(
    "--output-format",
    type=click.Choice(CHOICES["output-format"]),
    help="Form of the image.  [default: by the suffix of OUTPUT, else raw]",
)
@click.option("--bmap", metavar="FILE", help="Make a bmap file for bmaptool, too.")
@click.option("--show", is_flag=True, help="Show the merged settings, and make nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def command(
    manifest: Path | None,
    boots: tuple[str, ...],
    additions: tuple[str, ...],
    partitions: tuple[str, ...],
    show: bool,
    as_json: bool,
    **options: str | bool | Path | None,
) -> None:
    """Make a bootable image with the hypervisor on it.

    OUTPUT is a GPT image whose EFI system partition holds the built hypervisor, the boot
    program and zpp.conf. Without --kernel it starts the firmware's next boot option.
    OUTPUT is esp.img in the build directory if it is left out; it is replaced only when
    all went well. The same files give the same bytes; SOURCE_DATE_EPOCH sets their time.
    The suffix of OUTPUT chooses its form: .gz, .xz, .zst, .qcow2, .vhd, .vhdx, .vmdk,
    .vdi, else raw; `-` is standard output.

    \b
    Examples:
      zpp-image make
      zpp-image make usb.img --kernel vmlinuz --initrd initrd.img --cmdline 'console=ttyS0 quiet'
      zpp-image make tools.img --hypervisor none --add shell.efi:/EFI/BOOT/BOOTX64.EFI
      zpp-image make small.img --plain-fat --size 8M --add docs:/docs --json
    """
    single = {name: str(v) if isinstance(v, Path) else v for name, v in options.items()}
    named = None if manifest is None else str(manifest)
    make(Asked(single, named, boots, additions, partitions, show, as_json))
