"""`zpp-image trace`: the table, JSON, Perfetto, SVG and HTML, symbols, faults."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from outcome import Outcome, call
from vm_traces import PACKETS, head, start, vm_exit, write

from efi_image.errors import ExitCode


class Tool:
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.file = write(folder / "boot.trace")
        self._capsys = capsys

    def __call__(self, *options: str | Path) -> Outcome:
        return call(self._capsys, "trace", self.file, *options)


@pytest.fixture
def tool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Tool:
    return Tool(tmp_path, capsys)


def test_table(tool: Tool) -> None:
    outcome = tool()
    assert outcome.code == ExitCode.OK
    lines = outcome.out.splitlines()
    assert lines[0] == "6 VM exits on 2 CPUs with Intel VT-x in 2.000 s"
    assert lines[2].split() == ["count", "share", "per", "second", "exit"]
    assert lines[3].split() == ["3", "50.0%", "1.5", "CPUID"]
    assert [line.split(maxsplit=3)[3] for line in lines[4:7]] == [
        "EPT violation", "RDMSR", "VMCALL",
    ]  # fmt: skip
    assert "    2  CPUID: leaf 0x1, family, model and features" in lines
    assert "    2  0x1000   CPUID" in lines
    assert max(map(len, lines)) <= 80


def test_rate_of_the_tsc_is_unknown(tool: Tool) -> None:
    write(tool.file, first=start(hz=0))
    lines = tool().out.splitlines()
    assert lines[0].endswith("in 2000000 TSC ticks")
    assert lines[3].split() == ["3", "50.0%", "?", "CPUID"]


def test_rate_that_run_has_measured(tool: Tool) -> None:
    tool.file.write_bytes(head(hz=2_000_000) + start(hz=0) + b"".join(PACKETS))
    assert tool().out.splitlines()[0].endswith("in 1.000 s")


def test_no_exits(tool: Tool, tmp_path: Path) -> None:
    write(tool.file, ())
    outcome = tool("--html", tmp_path / "o.html", "--perfetto", tmp_path / "o.json")
    assert outcome.code == ExitCode.OK
    assert outcome.out.startswith("0 VM exits on 2 CPUs")
    assert json.loads((tmp_path / "o.json").read_text())["traceEvents"]


def test_json(tool: Tool) -> None:
    found = json.loads(tool("--json", "--top", "1").out)
    assert found["version"] == 1
    assert (found["vendor"], found["cpus"], found["exits"]) == ("Intel VT-x", 2, 6)
    assert (found["seconds"], found["rate"]) == (2.0, 3.0)
    assert found["reasons"][0] == {
        "name": "CPUID", "reason": 10, "count": 3, "share": 0.5, "rate": 1.5, "per_cpu": [2, 1],
    }  # fmt: skip
    assert len(found["details"]) == len(found["places"]) == 1


def test_perfetto(tool: Tool, tmp_path: Path) -> None:
    out = tmp_path / "o.json"
    assert tool("--perfetto", out).code == ExitCode.OK
    document = json.loads(out.read_text())
    assert_trace_events(document)
    events = document["traceEvents"]
    names = {(e["tid"], e["args"]["name"]) for e in events if e["name"] == "thread_name"}
    assert names == {(0, "CPU 0"), (1, "CPU 1")}
    exits = [e for e in events if e["ph"] == "i"]
    assert [(e["tid"], e["ts"], e["name"]) for e in exits[:2]] == [
        (0, 0, "CPUID"), (1, 500_000, "CPUID"),
    ]  # fmt: skip
    assert exits[3]["args"]["detail"] == "0x3a, IA32_FEATURE_CONTROL"
    assert exits[3]["args"]["rip"] == "0x10:0x3000"
    assert len(exits) == len(PACKETS)


def assert_trace_events(document: dict[str, Any]) -> None:
    """As Chrome's "Trace Event Format" wants it: the object, metadata and instant events."""
    assert document["displayTimeUnit"] in ("ms", "ns")
    assert {type(value) for value in document["otherData"].values()} == {str}
    process: set[int] = set()
    named: set[int] = set()
    for event in document["traceEvents"]:
        assert {"name", "ph", "pid"} <= event.keys()
        assert {type(event[key]) for key in ("pid", "tid", "ts") if key in event} <= {int, float}
        process.add(event["pid"])
        if event["ph"] == "M":
            assert event["name"] in ("process_name", "thread_name")
            assert isinstance(event["args"]["name"], str)
            assert ("tid" in event) == (event["name"] == "thread_name")
            named |= {event["tid"]} if "tid" in event else set()
        else:
            assert event["ph"] == "i"
            assert event["s"] == "t"  # on one thread
            assert event["ts"] >= 0  # microseconds
            assert isinstance(event["cat"], str)
            assert event["tid"] in named
    assert len(process) == 1
    assert not process & named  # or Perfetto would show that CPU first, as the main thread


class Page(HTMLParser):
    """Collects a page's tags and what they would load."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.loaded += [v or "" for name, v in attrs if name in ("src", "href", "data")]


SVG = "{http://www.w3.org/2000/svg}"


def test_svg(tool: Tool, tmp_path: Path) -> None:
    out = tmp_path / "o.svg"
    assert tool("--svg", out).code == ExitCode.OK
    root = ET.fromstring(out.read_text())
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert {"CPU 0", "CPU 1", "CPUID: 3 (2/s)", "RDMSR: 1 (0/s)", "2 s"} <= set(texts)
    bars = {path.findtext(f"{SVG}title"): path.attrib for path in root.iter(f"{SVG}path")}
    assert {"CPU 0: 2 CPUID", "CPU 0: 1 RDMSR", "CPU 1: 1 EPT violation"} <= set(bars)
    assert bars["CPU 0: 2 CPUID"]["fill"] == bars["CPU 1: 1 CPUID"]["fill"]
    assert bars["CPU 0: 2 CPUID"]["fill"] != bars["CPU 0: 1 RDMSR"]["fill"]
    assert bars["CPU 0: 2 CPUID"]["d"].count("M") == 2  # at two times


def test_html_stands_alone(tool: Tool, tmp_path: Path) -> None:
    out = tmp_path / "o.html"
    assert tool("--html", out).code == ExitCode.OK
    page = Page()
    page.feed(out.read_text())
    assert page.loaded == []
    assert page.tags["script"] == page.tags["link"] == 0
    assert (page.tags["svg"], page.tags["table"]) == (1, 3)
    assert re.findall(r"https?:", out.read_text()) == ["http:"]  # the name space of SVG


@pytest.mark.parametrize("cpus", [1, 64])
def test_pictures_of_large_traces_are_small(tool: Tool, tmp_path: Path, cpus: int) -> None:
    reasons = (0, 8, 10, 18, 28, 31, 32, 48, 52, 55, 13, 2)
    packets = tuple(
        vm_exit(reasons[n % len(reasons)], n % cpus, n * 37, rax=1) for n in range(30_000)
    )
    write(tool.file, packets, start(cpus=cpus))
    out = tmp_path / "o.html"
    assert tool("--html", out).code == ExitCode.OK
    assert out.stat().st_size < 1_000_000
    text = out.read_text()
    assert ">others" in text  # more reasons than colours
    assert sum(map(int, re.findall(r"<title>CPU \d+: (\d+) ", text))) == len(packets)


def test_symbols(tool: Tool, tmp_path: Path) -> None:
    symbols = tmp_path / "System.map"
    symbols.write_text(
        "0000000000000500 T early\n0000000000001000 T native_cpuid\n0000000000001f00 d data\n"
        "0000000000002ff0 t read_msr\nffffffff81000000 T _text\n"
    )
    outcome = tool("--symbols", symbols)
    assert re.search(r"2 +0x1000 +CPUID +native_cpuid$", outcome.out, re.MULTILINE)
    assert re.search(r"1 +0x3000 +RDMSR +read_msr\+0x10$", outcome.out, re.MULTILINE)
    assert outcome.err == ""


def test_symbols_of_another_boot(tool: Tool, tmp_path: Path) -> None:
    symbols = tmp_path / "System.map"
    symbols.write_text("ffffffff81000000 T _text\n")
    outcome = tool("--symbols", symbols)
    assert outcome.code == ExitCode.OK
    assert "no address matches" in outcome.err
    assert "nokaslr" in outcome.err


@pytest.mark.parametrize(
    ("text", "words"), [("", "has no symbols"), ("0000000000000000 T hidden\n", "has no symbols")]
)
def test_bad_symbols(tool: Tool, tmp_path: Path, text: str, words: str) -> None:
    symbols = tmp_path / "System.map"
    symbols.write_text(text)
    outcome = tool("--symbols", symbols)
    assert outcome.code == ExitCode.INPUT
    assert words in outcome.err


def test_symbols_of_an_elf_file(tool: Tool) -> None:
    """Any ELF file with symbols is read as vmlinux is; this one is the core."""
    core = Path(__file__).parents[2] / "out/release/x86_64/hypervisor.debug.elf"
    if not core.exists():
        pytest.skip("the core is not built")
    from efi_image.debug.kernel_symbols import read_symbols  # noqa: PLC0415

    symbols = read_symbols(core)
    names = {symbols(address) for address in range(0x1000, 0x20000, 16)}
    assert "zpp_svm_run" in {name.partition("+")[0] for name in names}


@pytest.mark.parametrize("option", ["--perfetto", "--html", "--svg"])
def test_the_trace_is_not_overwritten(tool: Tool, option: str) -> None:
    before = tool.file.read_bytes()
    outcome = tool(option, tool.file)
    assert outcome.code == ExitCode.USAGE
    assert tool.file.read_bytes() == before


def test_one_clear_line_for_a_bad_file(tool: Tool) -> None:
    tool.file.write_bytes(tool.file.read_bytes()[:-3])
    outcome = tool()
    assert outcome.code == ExitCode.INPUT
    assert outcome.out == ""
    (line,) = outcome.err.splitlines()
    assert "is truncated in packet 6" in line
    tool.file.unlink()
    assert tool().code == ExitCode.INPUT
