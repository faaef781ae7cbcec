"""`zpp-image trace`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

import click
from click.decorators import FC

from efi_image.cli.json_output import show_json
from efi_image.cli.path_type import PathType
from efi_image.cli.progress_bar import ProgressBar
from efi_image.debug.kernel_symbols import read_symbols
from efi_image.formats.vm_trace import Trace, read_trace
from efi_image.inspect.trace_summary import PLACES, Summary, course, summarize
from efi_image.io.atomic import atomic, refuse_input
from efi_image.render.trace_perfetto import perfetto_lines
from efi_image.render.trace_picture import COLOURS, columns_for, html_lines, svg_lines
from efi_image.render.trace_table import trace_lines


def _output(kind: str, ending: str, text: str) -> Callable[[FC], FC]:
    path = PathType(path_type=Path)
    return click.option(f"--{kind}", type=path, metavar=f"OUT.{ending}", help=text)


@click.command("trace")
@click.argument("file", type=PathType(path_type=Path))
@click.option(
    "--symbols",
    type=PathType(path_type=Path),
    metavar="FILE",
    help="Symbols of the guest's kernel: System.map or vmlinux (for a kernel with nokaslr), or a "
    "copy of the guest's /proc/kallsyms.",
)
@click.option(
    "--top", type=click.IntRange(0), default=PLACES, show_default=True,
    help="Number of details and of addresses to show.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
@_output(
    "perfetto", "json", "Write every exit in Chrome's trace event format, for ui.perfetto.dev."
)
@_output("html", "html", "Write the picture and the numbers as a page that loads nothing else.")
@_output("svg", "svg", "Write the picture: a lane for each CPU, colours by reason.")
def command(
    file: Path,
    symbols: Path | None,
    top: int,
    as_json: bool,
    perfetto: Path | None,
    html: Path | None,
    svg: Path | None,
) -> None:
    """Show the VM exits of a run.

    FILE is a trace from `zpp-image run --trace FILE`. The table shows the exits by reason, the
    most frequent details, such as CPUID leaves and MSRs, and the most frequent addresses. Rates
    are `?` if the rate of the TSC is unknown.

    \b
    Examples:
      zpp-image trace boot.trace
      zpp-image trace boot.trace --symbols System.map --top 20
      zpp-image trace boot.trace --html boot.html --perfetto boot.json
      zpp-image trace boot.trace --json > boot-numbers.json
    """
    for output in (perfetto, html, svg):
        if output is not None:
            refuse_input(output, file, symbols)
    trace = read_trace(file)
    symbolize = read_symbols(symbols) if symbols is not None else lambda _address: ""
    with ProgressBar() as bar:
        summary = summarize(trace, symbolize, top, bar.progress)
        if perfetto is not None:
            _write(perfetto, perfetto_lines(trace, symbolize, bar.progress))
        _write_pictures(trace, summary, html, svg, bar)
    _print(summary, as_json)
    if symbols is not None and summary.places and not any(row.symbol for row in summary.places):
        click.echo(
            f"zpp-image: no address matches {symbols}; boot with nokaslr, or use /proc/kallsyms of "
            "that boot",
            err=True,
        )


def _print(summary: Summary, as_json: bool) -> None:
    if as_json:
        show_json(_fields(summary))
        return
    for line in trace_lines(summary):
        click.echo(line)


def _write_pictures(
    trace: Trace, summary: Summary, html: Path | None, svg: Path | None, bar: ProgressBar
) -> None:
    if html is None and svg is None:
        return
    picture = course(trace, summary, columns_for(summary.cpus), len(COLOURS), bar.progress)
    if html is not None:
        _write(html, html_lines(summary, picture))
    if svg is not None:
        _write(svg, svg_lines(summary, picture))


def _fields(summary: Summary) -> dict[str, object]:
    return {**asdict(summary), "vendor": summary.vendor.title}


def _write(output: Path, lines: Iterable[str]) -> None:
    with (
        atomic(output) as descriptor,
        open(descriptor, "w", encoding="utf-8", closefd=False) as out,
    ):
        for line in lines:
            out.write(f"{line}\n")
