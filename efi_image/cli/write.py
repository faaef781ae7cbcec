"""`zpp-image write`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from efi_image.cli.confirm import confirm, confirm_file
from efi_image.cli.json_output import show_json
from efi_image.cli.path_type import PathType
from efi_image.cli.progress_bar import ProgressBar
from efi_image.devices import Device
from efi_image.errors import printable
from efi_image.flash import ImageSource, Phase, WriteOptions, WriteReport
from efi_image.flash import write as write_image
from efi_image.progress import Progress
from efi_image.render.text import human


class _Bars:
    """One line of progress at a time."""

    def __init__(self) -> None:
        self._shown: ProgressBar | None = None

    def show(self, phase: Phase) -> Progress:
        """The line of a phase, in place of the last."""
        self.clear()
        self._shown = ProgressBar(title=phase.value)
        return self._shown

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            self._shown.__exit__(None, None, None)
            self._shown = None


def _confirm(
    target: Device | Path, source: ImageSource, key: str | None, force: bool = False
) -> None:
    if isinstance(target, Device):
        purpose = f"This erases all data on it and writes {source.name}."
        confirm(target, purpose, key, "--yes-erase")
    elif not force:
        confirm_file(target, source.name)


def _document(options: WriteOptions, report: WriteReport) -> dict[str, Any]:
    told = asdict(report) | {"seconds": round(report.seconds, 3)}
    named = {"image": str(options.image), "target": options.target, "serial": told.pop("serial")}
    return named | told


def _summary(options: WriteOptions, report: WriteReport) -> list[str]:
    moved = report.written + report.zeroed
    rate = human(int(moved / report.seconds)) if report.seconds else human(moved)
    parts = [f"{human(report.written)} written"]
    if report.zeroed:
        parts.append(f"{human(report.zeroed)} zeroed")
    if report.kept:
        parts.append(f"{human(report.kept)} kept as they were")
    checked = f"{human(report.verified)} read back and equal" if report.verified else "not verified"
    lines = [f"{options.target}: {', '.join(parts)}; {checked} ({report.seconds:.1f} s, {rate}/s)"]
    if report.moved_table:
        lines.append("moved the GPT's backup to the end of the target")
    if not report.partitions_reread:
        lines.append(
            "the kernel still uses the old partition table; unplug the device and plug it in"
        )
    if report.ejected is not None:
        lines.append("ejected" if report.ejected else "the device cannot be ejected; unplug it")
    return lines


@click.command("write")
@click.argument("image", type=PathType(path_type=Path))
@click.argument("target")
@click.option("--bmap", metavar="FILE", type=PathType(path_type=Path),
              help="Write only the blocks in this bmap file; check their checksums.")  # fmt: skip
@click.option("--yes-erase", metavar="SERIAL", help="Erase the disk without asking, if it has this "
              "serial number (its path, if it has none).")  # fmt: skip
@click.option("-f", "--force", is_flag=True, help="Overwrite a regular file without asking.")
@click.option(
    "--verify/--no-verify", default=True, help="Read back the data and compare it. [default: yes]"
)
@click.option("--delta", is_flag=True, help="Write only blocks that differ.")
@click.option("--resume", is_flag=True, help="Continue an interrupted write.")
@click.option(
    "--probe", is_flag=True, help="First test whether the device has the capacity it claims."
)
@click.option("--skip-holes", is_flag=True, help="Leave old content where the image has holes.")
@click.option("--internal", is_flag=True, help="Allow a built-in disk that nothing uses.")
@click.option("--raw-bytes", is_flag=True, help="Write a file that is not a known disk or volume.")
@click.option("--eject", is_flag=True, help="Eject the device at the end.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def command(
    image: Path,
    target: str,
    bmap: Path | None,
    yes_erase: str | None,
    force: bool,
    verify: bool,
    delta: bool,
    resume: bool,
    probe: bool,
    skip_holes: bool,
    internal: bool,
    raw_bytes: bool,
    eject: bool,
    as_json: bool,
) -> None:
    """Write an image to a USB stick and verify it.

    IMAGE is raw, compressed (gzip, xz, bzip2, zstd, LZ4, ZIP), a virtual disk, or a manifest
    (.toml), which needs no image file. It must be a complete disk or volume. TARGET is a whole
    disk or a regular file. Nothing boots from the target until all data was read back and is
    correct. Exit code 9: the target is not safe, and nothing was written; 10: verification
    failed.

    \b
    Examples:
      zpp-image write esp.img /dev/sdb
      zpp-image write disk.img.xz /dev/sdb --bmap disk.bmap --probe
      zpp-image write disk.img.zst /dev/sdb --delta
      zpp-image write disk.toml /dev/sdb --eject
      zpp-image write esp.img /dev/sdb --yes-erase 4C530001230816109184
    """
    options = WriteOptions(
        image,
        target,
        bmap,
        verify=verify,
        delta=delta,
        resume=resume,
        skip_holes=skip_holes,
        internal=internal,
        capacity_test=probe,
        eject=eject,
        raw_bytes=raw_bytes,
    )
    bars = _Bars()
    try:
        report = write_image(
            options, lambda target, source: _confirm(target, source, yes_erase, force), bars.show
        )
    except BaseException as error:
        bars.clear()
        for note in getattr(error, "__notes__", ()):
            click.echo(printable(note), err=True)
        raise
    bars.clear()
    if as_json:
        show_json(_document(options, report))
        return
    for line in _summary(options, report):
        click.echo(printable(line))
