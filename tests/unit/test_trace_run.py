"""`run --trace` and `run --explain` with a fake emulator: the image, the file, the narration."""

from __future__ import annotations

import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import oracles
import pytest
from fake_emulator import FakeEmulator
from trees import tree_of
from vm_traces import HZ, PACKETS, head, start, vm_exit

from efi_image.build.image import make_image
from efi_image.build.options import ResolvedOptions
from efi_image.build.partitions import Table
from efi_image.cli import run
from efi_image.cli.main import main
from efi_image.debug.trace_image import traced_copy, with_trace
from efi_image.emulator import bochs, qemu_devices
from efi_image.emulator.base import Launch
from efi_image.emulator.request import Debug, RunRequest
from efi_image.errors import ExitCode, InputError
from efi_image.formats.disk import open_disk
from efi_image.formats.fat.reader import FatVolume
from efi_image.formats.files import find, split_path
from efi_image.formats.zpp_conf import CONF_PATH, ZppConf, parse

CONF = ZppConf().to_text().encode()


def make(output: Path, conf: bytes | None = CONF, **options: Any) -> Path:
    files = {"EFI/BOOT/BOOTX64.EFI": b"x" * 9000, "EFI/zpp/ZppDxe.efi": b"y" * 70_000}
    if conf is not None:
        files["EFI/zpp/zpp.conf"] = conf
    make_image(ResolvedOptions(output, **options), tree_of(files))
    return output


def files_of(image: Path) -> dict[str, bytes]:
    with open_disk(image) as disk:
        volume = disk.volume(disk.pick("esp" if disk.gpt else ""))
        return {
            path: b"".join(volume.chunks(find(volume, split_path(path))[1]))
            for path in ("EFI/BOOT/BOOTX64.EFI", "EFI/zpp/ZppDxe.efi", "EFI/zpp/zpp.conf")
        }


@dataclass(frozen=True)
class TracingEmulator(FakeEmulator):
    """Writes `packets` to the debug port, and keeps the image's zpp.conf."""

    packets: bytes = b""
    confs: list[bytes] = field(default_factory=list)

    def prepare(self, request: RunRequest, work: Path) -> Launch:
        self.confs.append(files_of(request.image)["EFI/zpp/zpp.conf"])
        if request.debug.trace is not None:
            request.debug.trace.write_bytes(self.packets)
        return super().prepare(request, work)


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return make(tmp_path / "esp.img")


def use(monkeypatch: pytest.MonkeyPatch, packets: bytes, **more: Any) -> TracingEmulator:
    emulator = TracingEmulator((b"hello\nunfinished",), packets=packets, **more)
    monkeypatch.setattr(run, "choose", lambda _kind, _root: emulator)
    return emulator


def test_trace_is_kept(
    image: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = image.read_bytes()
    emulator = use(monkeypatch, b"noise" + start() + b"".join(PACKETS))
    file = image.with_name("boot.trace")
    assert main(["run", str(image), "--trace", str(file)]) == ExitCode.OK
    assert file.read_bytes() == head(HZ, 5) + start() + b"".join(PACKETS)
    assert image.read_bytes() == before
    assert parse(emulator.confs[0]).trace == 0xE9
    out, err = capsys.readouterr()
    assert out == "hello\nunfinished\n"
    assert f"zpp-image: {file}: 7 packets; `zpp-image trace {file}` shows them\n" in err
    assert list(image.parent.glob("zpp-*")) == []


def test_explanation(
    image: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(monkeypatch, start() + b"".join(PACKETS) + vm_exit(10, ticks=3_000_000, rax=0x40000000))
    assert main(["run", str(image), "--explain"]) == ExitCode.OK
    lines = capsys.readouterr().err.splitlines()
    at = lines.index(
        "zpp-image: 0.000 s CPU 0, CPUID: leaf 0x1, family, model and features (at 0x1000)"
    )
    assert lines[at - 1] == "zpp-image: zpp 0.1.2 runs the machine with Intel VT-x"
    assert lines[at + 1].startswith("zpp-image:     The guest asked the CPU for its features. zpp ")
    text = " ".join(line.removeprefix("zpp-image:").strip() for line in lines)
    assert "[SDM Vol. 3C, 26.1.2]" in text
    assert text.count("leaf 0x1, family, model and features (at") == 1
    assert text.count("The guest asked the CPU for its features") == 1
    assert (
        "1.000 s CPU 0, RDMSR: 0x3a, IA32_FEATURE_CONTROL (at 0x3000) The guest read a "
        "model-specific register. zpp showed VT-x as switched off and locked by the firmware. "
        "[SDM Vol. 3C, 26.1.3]" in text
    )
    assert "EPT violation: write of the local APIC, ICR (at 0x4000)" in text
    assert "zpp-image: 7 VM exits:" in lines
    assert "zpp-image:     4  57.1%         1.3  CPUID" in lines
    assert max(map(len, lines[at:])) <= 110


def test_zpp_does_not_start(
    image: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(monkeypatch, b"bytes of the firmware")
    file = image.with_name("boot.trace")
    assert main(["run", str(image), "--explain", "--trace", str(file)]) == ExitCode.OK
    assert "zpp-image: no trace: zpp did not start\n" in capsys.readouterr().err
    assert main(["trace", str(file)]) == ExitCode.INPUT


def test_trace_of_a_run_that_fails_is_kept(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, start() + PACKETS[0], status=9)
    file = image.with_name("boot.trace")
    assert main(["run", str(image), "--trace", str(file)]) == ExitCode.EMULATOR
    assert file.read_bytes() == head(HZ) + start() + PACKETS[0]


def test_rate_of_the_tsc_is_measured(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake guest's TSC has 1 MHz."""
    file = image.with_name("boot.trace")
    emulator = use(monkeypatch, start(hz=0))
    port: list[Path] = []

    def prepare(_self: object, request: RunRequest, work: Path) -> Launch:
        assert request.debug.trace is not None
        port.append(request.debug.trace)
        code = (
            "import sys, time, pathlib\n"
            f"sys.path[:0] = {[str(Path(__file__).parent)]!r}\n"
            "from vm_traces import start, vm_exit\n"
            f"out = open({str(port[0])!r}, 'ab', buffering=0)\n"
            "out.write(start(hz=0)); begin = time.monotonic()\n"
            "for _ in range(40):\n"
            "    time.sleep(0.05)\n"
            "    out.write(vm_exit(10, ticks=int((time.monotonic() - begin) * 1e6)))\n"
        )
        return FakeEmulator(child=code, linger=3).prepare(request, work)

    monkeypatch.setattr(TracingEmulator, "prepare", prepare)
    assert emulator.name == "fake"
    assert main(["run", str(image), "--trace", str(file)]) == ExitCode.OK
    (hz,) = struct.unpack_from("<Q", file.read_bytes(), 16)
    assert 0.8e6 < hz < 1.2e6


def test_trace_must_not_overwrite_the_image(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, start())
    before = image.read_bytes()
    assert main(["run", str(image), "--trace", str(image)]) == ExitCode.USAGE
    assert image.read_bytes() == before


def test_trace_that_cannot_be_written(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, start())
    assert main(["run", str(image), "--trace", "/no/such/folder/t"]) == ExitCode.OUTPUT


def test_debug_port_of_each_emulator(tmp_path: Path) -> None:
    """QEMU has a device for it; Bochs prints the port's bytes."""
    image = tmp_path / "esp.img"
    assert qemu_devices.debug_port(RunRequest(image)) == bochs.debug_port(RunRequest(image)) == ()
    port = tmp_path / 'a, "port"'
    request = RunRequest(image, debug=Debug(trace=port))
    assert qemu_devices.debug_port(request) == (
        "-chardev", f'file,id=trace,path={tmp_path}/a,, "port"',
        "-device", "isa-debugcon,iobase=0xe9,chardev=trace",
    )  # fmt: skip
    line = (*bochs.debug_port(request), "printf", "%s", "bytes of the port")
    subprocess.run(line, check=True)
    assert port.read_text() == "bytes of the port"


# ---- the copy of the image


@pytest.mark.parametrize(
    "options",
    [{}, {"table": Table.NONE}, {"table": Table.MBR}, {"table": Table.ISO}, {"sector_size": 4096}],
    ids=str,
)
def test_copy_differs_only_in_zpp_conf(tmp_path: Path, options: dict[str, Any]) -> None:
    image = make(tmp_path / "esp.img", **options)
    before = image.read_bytes()
    copy = traced_copy(image, tmp_path, 0xE9)
    assert image.read_bytes() == before
    old, new = files_of(image), files_of(copy)
    assert parse(new.pop("EFI/zpp/zpp.conf")) == ZppConf(trace=0xE9)
    assert parse(old.pop("EFI/zpp/zpp.conf")) == ZppConf()
    assert old == new
    with open_disk(copy) as disk:
        part = disk.pick("esp" if disk.gpt else "")
    oracles.check_fat(copy, part.start, part.size)


def test_a_packed_image_is_copied(tmp_path: Path) -> None:
    image = make(tmp_path / "esp.img.gz")
    assert parse(files_of(traced_copy(image, tmp_path, 0xE9))["EFI/zpp/zpp.conf"]).trace == 0xE9


def test_image_without_zpp_conf(tmp_path: Path) -> None:
    image = make(tmp_path / "esp.img", conf=None)
    with pytest.raises(InputError, match="which switches tracing on"):
        traced_copy(image, tmp_path, 0xE9)
    assert CONF_PATH == "\\EFI\\zpp\\zpp.conf"


def test_zpp_conf_that_fills_its_cluster_grows(tmp_path: Path) -> None:
    image = make(tmp_path / "esp.img", table=Table.NONE, size=4 << 20)
    with open_disk(image) as disk:
        volume = disk.volume(disk.pick())
        assert isinstance(volume, FatVolume)
    conf = b"[entry]\npath = \\".ljust(volume.boot.cluster_size, b"a")
    copy = traced_copy(make(image, conf=conf, table=Table.NONE, size=4 << 20), tmp_path, 0xE9)
    assert files_of(copy)["EFI/zpp/zpp.conf"] == b"trace = 0xe9\n" + conf
    oracles.check_fat(copy, 0, 4 << 20)


KEY = b"trace = 0xe9\n"


@pytest.mark.parametrize(
    ("conf", "text"),
    [
        (b"", KEY),
        (b"visible = on\n", KEY + b"visible = on\n"),
        (b"visible = on\n trace= 0\n", KEY + b"visible = on\n"),
        (b"[a]\npath = \\a\n trace = 1\n", KEY + b"[a]\npath = \\a\n trace = 1\n"),
        (b"a = b\r\n [s]\r\ntrace = 1", KEY + b"a = b\r\n [s]\r\ntrace = 1"),
    ],
)
def test_key_is_added(conf: bytes, text: bytes) -> None:
    assert with_trace(conf, 0xE9) == text
