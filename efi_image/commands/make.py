"""`zpp-image make`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import click

from efi_image.commands.meter import Meter
from efi_image.config import Setting, load
from efi_image.disk import Table
from efi_image.errors import UsageError
from efi_image.esp import Addition, contents
from efi_image.facts.text import human
from efi_image.image import Report, build, source_date
from efi_image.output import Form
from efi_image.recipe import Hypervisor, Recipe, merge, parse_partition
from efi_image.record import as_dict
from efi_image.settings import KEYS, ListedFile, Manifest

LISTED = 40  # files


def _json(report: Report) -> str:
    import json  # noqa: PLC0415

    return json.dumps(as_dict(report), indent=2)


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
        lines.append(f"  … and {more} more files; --json lists them all")
    if report.sha256:
        lines.append(f"sha256 {report.sha256}")
    return "\n".join(lines)


SHORTHANDS = {
    "plain_fat": Setting("table", Table.NONE.value, "--plain-fat"),
    "no_hypervisor": Setting("hypervisor", Hypervisor.OFF.value, "--no-hypervisor"),
}


def _settings(options: Mapping[str, object]) -> list[Setting]:
    """The settings that were given as options; raises UsageError if two are for one key."""
    given: dict[str, Setting] = {}
    found = [s for name, s in SHORTHANDS.items() if options[name]]
    if options["digest"] is not None:
        found.append(Setting("digest", "on" if options["digest"] else "off", "--digest"))
    for key in KEYS:
        value = options.get(key.replace("-", "_"))
        if isinstance(value, str | Path):
            found.append(Setting(key, str(value), f"--{key}" if key != "output" else "OUTPUT"))
    for setting in found:
        before = given.setdefault(setting.name, setting)
        if before.value != setting.value:
            raise UsageError(f"does not go with {setting.origin}", where=before.origin)
    return list(given.values())


def _manifest(path: Path) -> Manifest:
    from efi_image import manifest  # noqa: PLC0415 - most images have none

    return manifest.load(path)


def _show(recipe: Recipe, as_json: bool) -> None:
    from efi_image.commands.config import recipe_json, recipe_table  # noqa: PLC0415

    click.echo(recipe_json(recipe) if as_json else recipe_table(recipe))


def _recipe(manifest: Path | None, options: Mapping[str, object], lists: _Lists) -> Recipe:
    boots, additions, partitions = lists
    parsed = [Addition.parse(text) for text in additions]
    return merge(
        load(),
        _manifest(manifest) if manifest else Manifest(),
        _settings(options),
        boots=boots,
        files=tuple(ListedFile(each.source, each.target, "--add") for each in parsed),
        partitions=tuple(parse_partition(text) for text in partitions),
    )


_Lists = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]


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
    type=click.Choice([table.value for table in Table]),
    help="Partition table; none: a FAT volume alone; iso: a GPT, and an ISO 9660 file system "
    "that starts from optical media.  [default: gpt; iso for OUTPUT .iso]",
)
@click.option("--plain-fat", is_flag=True, help="The same as --table none.")
@click.option("--fat", type=click.Choice(["12", "16", "32"]), help="FAT type. [default: by size]")
@click.option(
    "--sector-size",
    type=click.Choice(["512", "4096"]),
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
    type=click.Choice([each.value for each in Hypervisor]),
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
    type=click.Choice([form.value for form in Form]),
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
    **options: object,
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
    recipe = _recipe(manifest, options, (boots, additions, partitions))
    if show:
        _show(recipe, as_json)
        return
    items = contents(recipe.esp_options())
    target = recipe.target()
    asked = recipe.image_options(source_date(os.environ))
    with Meter() as meter:
        report = build(items, asked, target, meter.progress)
    # standard output is the image's if it goes there
    text = _json(report) if as_json else _summary(report)
    click.echo(text, err=target.is_standard)
