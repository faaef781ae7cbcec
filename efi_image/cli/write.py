"""`zpp-image write`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from efi_image.cli.progress_bar import ProgressBar
from efi_image.devices import Device
from efi_image.errors import UnsafeTarget, UsageError, printable
from efi_image.flash.options import Events, Job, Outcome, Run
from efi_image.flash.session import Phase, WriteOptions
from efi_image.flash.source import ImageSource
from efi_image.progress import Progress
from efi_image.render.text import human


class _Bars:
    """One line of progress at a time."""

    def __init__(self) -> None:
        self._shown: ProgressBar | None = None

    def show(self, title: str) -> Progress:
        """A new line in place of the last."""
        self.clear()
        self._shown = ProgressBar(title=title)
        return self._shown

    def phase(self, phase: Phase) -> Progress:
        """The line of a phase."""
        return self.show(phase.value)

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            self._shown.__exit__(None, None, None)
            self._shown = None


def _describe(device: Device) -> str:
    serial = f", serial {device.serial}" if device.serial else ""
    return f"{device.path}: {device.model or 'disk'}{serial}, {human(device.size)}"


def _other_key(device: Device, key: str) -> str:
    if device.twin and key == device.serial:
        return f"has the serial number of {device.twin}; --yes-erase {device.key} means this one"
    return f"is not the disk with serial {key}; its own is {device.key}"


def confirm(device: Device, source: ImageSource, key: str | None) -> None:
    """Raise UnsafeTarget unless the person, or the script's option, means this disk."""
    if key is not None:
        if key not in {device.key, printable(device.key)}:
            raise UnsafeTarget(_other_key(device, key), where=device.path)
        return
    if not sys.stdin.isatty():
        raise UnsafeTarget(
            "nobody is there to confirm that it is erased",
            where=device.path,
            hint=f"--yes-erase {device.key}",
        )
    click.echo(printable(_describe(device)), err=True)
    for mount in device.unmount:
        click.echo(printable(f"  will be unmounted: {mount.target}"), err=True)
    click.echo(printable(f"All that is on it will be lost; {source.name} is written."), err=True)
    answer = click.prompt(
        printable(f"Type '{device.word}' to go on"), default="", show_default=False, err=True
    )
    if answer.strip() != printable(device.word):
        raise UnsafeTarget("was not confirmed; nothing is written", where=device.path)


def _unfinished(run: Run) -> str:
    """What a write that failed has left."""
    if run.may_boot:
        return "the write is not finished, and it could not be cleared again: do not boot from it"
    more = "; --resume goes on" if run.resumable else ""
    return f"the write is not finished, and nothing boots from it{more}"


def _document(job: Job, outcome: Outcome) -> dict[str, Any]:
    device = outcome.device
    return {
        "image": str(job.image),
        "target": job.target,
        "serial": device.serial if device else "",
        **asdict(outcome.report),
        "seconds": round(outcome.seconds, 3),
        "ejected": outcome.ejected,
    }


def _summary(job: Job, outcome: Outcome) -> list[str]:
    report = outcome.report
    moved = report.written + report.zeroed
    rate = human(int(moved / outcome.seconds)) if outcome.seconds else human(moved)
    parts = [f"{human(report.written)} written"]
    if report.zeroed:
        parts.append(f"{human(report.zeroed)} zeroed")
    if report.kept:
        parts.append(f"{human(report.kept)} were there")
    checked = (
        f"{human(report.verified)} read back and right" if report.verified else "not read back"
    )
    lines = [f"{job.target}: {', '.join(parts)}; {checked} ({outcome.seconds:.1f} s, {rate}/s)"]
    if report.moved_table:
        lines.append("the GPT's backup was moved to the end of the target")
    lines += report.notes
    if not report.partitions_reread:
        lines.append(
            "the kernel did not read the new partition table; unplug it and plug it in again"
        )
    if outcome.ejected is not None:
        lines.append("ejected" if outcome.ejected else "the device could not be ejected; unplug it")
    return lines


EXAMPLES = """\b
Examples:
  zpp-image write disk.img.zst /dev/sdb --delta
  zpp-image write disk.toml /dev/sdb --eject
  zpp-image write esp.img /dev/sdb --yes-erase 4C530001230816109184
"""


@click.command("write", epilog=EXAMPLES)
@click.argument("image", type=click.Path(path_type=Path))
@click.argument("target")
@click.option("--bmap", metavar="FILE", type=click.Path(path_type=Path),
              help="Write what this bmap file says is data, and compare its digests.")  # fmt: skip
@click.option("--yes-erase", metavar="SERIAL", help="Do not ask; the disk must have that serial "
              "number (its path, if it has none).")  # fmt: skip
@click.option(
    "--verify/--no-verify", default=True, help="Read back what was written. [default: yes]"
)
@click.option("--delta", is_flag=True, help="Write only what differs from what is there.")
@click.option("--resume", is_flag=True, help="Go on with a write that was interrupted.")
@click.option(
    "--probe", is_flag=True, help="First find out whether the device is as large as it says."
)
@click.option("--skip-holes", is_flag=True, help="Leave old content where the image has holes.")
@click.option("--internal", is_flag=True, help="Allow a disk that is built in, if nothing uses it.")
@click.option("--eject", is_flag=True, help="Eject the device at the end.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def command(
    image: Path,
    target: str,
    bmap: Path | None,
    yes_erase: str | None,
    verify: bool,
    delta: bool,
    resume: bool,
    probe: bool,
    skip_holes: bool,
    internal: bool,
    eject: bool,
    as_json: bool,
) -> None:
    """Write an image to a USB stick, and read it back.

    IMAGE is raw, packed (gzip, xz, zstd), a virtual disk, or a manifest (.toml), of which
    no image file is made. TARGET is a whole disk, or a plain file. Nothing boots from the
    target until all was read back and found right. Exit code 9: it is no safe target, and
    nothing was written; 10: what was read back differs.

    \b
    Examples:
      zpp-image write esp.img /dev/sdb
      zpp-image write disk.img.xz /dev/sdb --bmap disk.bmap --probe
    """
    if probe and resume:
        raise UsageError("does not go with --resume", where="--probe")
    options = WriteOptions(verify=verify, delta=delta, resume=resume, skip_holes=skip_holes)
    job = Job(image, target, bmap, options, internal, probe, eject)
    bars = _Bars()
    run = Run(
        job,
        Events(
            confirm=lambda device, source: confirm(device, source, yes_erase),
            watch=bars.phase,
            probing=lambda: bars.show("probing"),
        ),
    )
    try:
        outcome = run.run()
    except BaseException:
        bars.clear()
        if run.unfinished:
            click.echo(printable(f"{target}: {_unfinished(run)}"), err=True)
        raise
    bars.clear()
    if as_json:
        click.echo(json.dumps(_document(job, outcome), indent=2))
        return
    for line in _summary(job, outcome):
        click.echo(printable(line))
