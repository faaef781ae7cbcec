"""zpp on a machine's own ESP: what is written, and that removing it restores the machine."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from own_machine import GLOBAL, GUID, LOADER, OwnMachine, make_machine

from efi_image import __version__
from efi_image.cli.main import main
from efi_image.devices.efivars import Efivars
from efi_image.formats.disk import open_disk
from efi_image.formats.load_option import LoadOption
from efi_image.formats.zpp_conf import parse
from efi_image.verify import verify

ZPP_RECORD = "ZppBootRecord", "c1b6d9f4-5a3e-4f0b-9d27-6e41a8b3f502"


@pytest.fixture
def own(tmp_path: Path, build_dir: Path) -> OwnMachine:
    return make_machine(tmp_path / "machine", build_dir)


def test_zpp_is_beside_the_loader_and_starts_first(own: OwnMachine) -> None:
    before = own.snapshot()
    report = own.install()
    for name in ("ZppBoot.efi", "ZppDxe.efi"):
        assert (own.zpp / name).read_bytes() == (own.build / name).read_bytes()
    # without a default, ZppBoot starts the next option: that which was the first
    conf = parse((own.zpp / "zpp.conf").read_bytes())
    assert (conf.hypervisor, conf.default, conf.entries) == (True, "", ())
    assert own.order() == [1, 2, 0]
    assert report.starts == "debian"
    assert (report.option, report.boot_order) == ("Boot0001", ("Boot0001", "Boot0002", "Boot0000"))
    after = own.snapshot()
    order = f"sys/firmware/efi/efivars/BootOrder-{GLOBAL}"
    assert {name: after[name] for name in before if name != order} == {
        name: data for name, data in before.items() if name != order
    }


def test_the_boot_option_as_virt_firmware_reads_it(own: OwnMachine) -> None:
    own.install()
    option = own.option(1)
    assert option is not None
    assert (option.attr, str(option.title), option.optdata) == (1, "zpp", None)
    drive, file = option.devicepath
    assert drive.get_partuuid() == GUID
    assert str(file.get_filepath()) == "\\EFI\\zpp\\ZppBoot.efi"
    with open_disk(own.root / "dev/sda") as disk:
        esp = disk.pick("esp")
    # number, first sector, number of sectors: the partition as its GPT has it
    number, first, count = struct.unpack_from("<LQQ", drive.data)
    assert (number, first * 512, count * 512) == (1, esp.start, esp.size)
    name = own.efivars / f"Boot0001-{GLOBAL}"
    assert name.read_bytes()[:4] == struct.pack("<I", 7)


def test_uninstall_restores_the_machine(own: OwnMachine) -> None:
    before = own.snapshot()
    own.install()
    own.set("BootNext", struct.pack("<H", 1))
    own.set(ZPP_RECORD[0], b"boots", ZPP_RECORD[1])
    (own.zpp / "logs").mkdir()
    (own.zpp / "logs/00000001.txt").write_text("zpp: a log")
    (own.zpp / "machine.json").write_text("{}")
    report = own.uninstall()
    assert own.snapshot() == before
    assert not own.zpp.exists()
    assert report.options == ("Boot0001",)
    assert report.left == ()
    assert report.removed == (
        "ZppBoot.efi", "ZppDxe.efi", "logs/00000001.txt", "machine.json", "zpp.conf",
    )  # fmt: skip
    again = own.uninstall()
    assert (again.options, again.removed, again.left) == ((), (), ())


def test_a_second_install_changes_nothing(own: OwnMachine) -> None:
    own.install()
    before = own.snapshot()
    report = own.install()
    assert own.snapshot() == before
    assert (report.written, report.option) == ((), "Boot0001")


def test_an_update_replaces_our_files_and_keeps_the_users_settings(own: OwnMachine) -> None:
    own.install()
    own.set_order(2, 1, 0)  # the user has put zpp second
    conf = (own.zpp / "zpp.conf").read_text() + "menu-timeout = 5\n"
    (own.zpp / "zpp.conf").write_text(conf)
    old = (own.zpp / "ZppBoot.efi").read_bytes()
    program = old.replace(old[0x200:0x210], b"a newer program.")
    assert program != old
    (own.build / "ZppBoot.efi").write_bytes(program)
    report = own.install()
    assert (report.written, report.kept) == (("ZppBoot.efi",), ("zpp.conf",))
    assert (own.zpp / "ZppBoot.efi").read_bytes() == program
    assert (own.zpp / "zpp.conf").read_text() == conf
    assert own.order() == [1, 2, 0]
    left = own.uninstall().left
    assert left == ("zpp.conf",)
    assert [path.name for path in own.zpp.iterdir()] == ["zpp.conf"]


def test_uninstall_leaves_and_names_foreign_files(own: OwnMachine) -> None:
    own.install()
    (own.zpp / "notes.txt").write_text("mine")
    (own.zpp / "logs").mkdir()
    (own.zpp / "logs/mine.txt").write_text("mine")
    (own.zpp / "ZppDxe.efi").write_bytes(b"my own build")
    assert own.uninstall().left == ("ZppDxe.efi", "logs/mine.txt", "notes.txt")
    found = {path.relative_to(own.zpp).as_posix() for path in own.zpp.rglob("*") if path.is_file()}
    assert found == {"ZppDxe.efi", "logs/mine.txt", "notes.txt"}
    assert own.order() == [2, 0]
    assert own.option(1) is None


@pytest.mark.parametrize("name", ["ZppBoot.efi", "ZppDxe.efi", "zpp.conf", "install.json"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_foreign_file_in_the_way(name: str, kind: str, own: OwnMachine) -> None:
    own.zpp.mkdir()
    if kind == "file":
        (own.zpp / name).write_bytes(b"somebody else's")
    else:
        (own.zpp / name).mkdir()
    own.refuses(9, f"{name}: is in the way")


def test_a_file_in_place_of_our_folder(own: OwnMachine) -> None:
    own.zpp.write_bytes(b"a file")
    own.refuses(9, "install.json: is in the way")


def test_our_own_files_are_not_in_the_way(own: OwnMachine) -> None:
    """Those of a killed install, or put there by hand."""
    own.zpp.mkdir()
    (own.zpp / "ZppBoot.efi").write_bytes((own.build / "ZppBoot.efi").read_bytes())
    (own.zpp / "ZppDxe.efi.zpp-new").write_bytes(b"half of i")
    assert own.install().written == ("ZppDxe.efi", "zpp.conf")
    own.uninstall()
    assert not own.zpp.exists()


# ---- boot options


def test_other_numbers_in_use(own: OwnMachine) -> None:
    own.add(1, "an option that is not in BootOrder", "\\EFI\\other.efi")
    own.set_order(2, 3, 0)  # 3 does not exist any more
    assert own.install().option == "Boot0004"
    assert own.order() == [4, 2, 3, 0]
    own.uninstall()
    assert own.order() == [2, 3, 0]


def test_an_option_that_somebody_made_for_us_is_used(own: OwnMachine) -> None:
    own.add(5, "my zpp", "\\EFI\\ZPP\\zppboot.efi")
    own.add(6, "another disk's zpp", "\\EFI\\zpp\\ZppBoot.efi", GUID.__class__(int=9))
    own.set_order(2, 6, 5)
    assert own.install().option == "Boot0005"
    assert own.order() == [5, 2, 6]
    assert str(getattr(own.option(5), "title")) == "my zpp"  # noqa: B009
    own.uninstall()
    assert own.order() == [2, 6]
    assert own.option(6) is not None


def test_an_option_of_ours_that_was_turned_off_is_turned_on(own: OwnMachine) -> None:
    own.install()
    own.add(1, "zpp", "\\EFI\\zpp\\ZppBoot.efi", attributes=8)
    own.install()
    assert getattr(own.option(1), "attr") == 1  # noqa: B009


def test_without_any_boot_option(own: OwnMachine) -> None:
    """The firmware started the path of removable media, and ZppBoot does the same."""
    for path in own.efivars.glob("Boot*"):
        path.unlink()
    own.set("SecureBoot", b"\0")
    before = own.snapshot()
    assert own.install().starts == ""
    assert own.order() == [0]
    own.uninstall()
    assert own.snapshot() == before


@pytest.mark.parametrize(
    ("attributes", "starts"), [(8, "Windows"), (0x101, "Windows"), (1, "debian")]
)
def test_what_starts_under_zpp(attributes: int, starts: str, own: OwnMachine) -> None:
    own.add(2, "debian", "\\EFI\\debian\\shimx64.efi", attributes=attributes)
    assert own.install().starts == starts


@pytest.mark.parametrize(
    "data", [b"", b"\1\0\0\0", b"\1\0\0\0\xff\xffz\0\0\0", b"\1\0\0\0\4\0z\0p\0", b"\0" * 64]
)
def test_malformed_options_of_others_are_left_alone(data: bytes, own: OwnMachine) -> None:
    own.set("Boot0001", data)
    own.set_order(1, 2, 0)
    assert own.install().option == "Boot0003"
    own.uninstall()
    assert own.order() == [1, 2, 0]
    assert own.get("Boot0001") == (data or None)


def test_load_options_come_back_as_they_were(own: OwnMachine) -> None:
    for number in (0, 2):
        data = own.get(f"Boot{number:04X}") or b""
        option = LoadOption.unpack(data + b"optional data")
        assert option is not None
        assert option.data == b"optional data"
        assert option.pack() == data + b"optional data"


def test_boot_order_keeps_its_attributes(own: OwnMachine) -> None:
    own.set("BootOrder", struct.pack("<2H", 2, 0), attributes=0x27)
    own.install()
    assert (own.efivars / f"BootOrder-{GLOBAL}").read_bytes()[:4] == struct.pack("<I", 0x27)


# ---- the commands


@pytest.fixture
def here(own: OwnMachine, monkeypatch: pytest.MonkeyPatch) -> OwnMachine:
    """The machine as the one that the commands run on."""
    for name in ("installer", "uninstaller"):
        monkeypatch.setattr(f"efi_image.install.{name}.Machine", lambda: own.machine)
    return own


def test_the_commands(here: OwnMachine, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    place = ["--esp", str(here.esp)]
    assert main(["install", *place, "--build-dir", str(here.build)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{here.esp}: ZppDxe.efi, ZppBoot.efi, zpp.conf written in \\EFI\\zpp",
        "Boot0001 'zpp' is the first boot option",
        "zpp will start the next one: debian",
    ]
    assert main(["install", *place, "--build-dir", str(here.build)]) == 0
    assert "all files are up to date" in capsys.readouterr().out
    (here.zpp / "mine").write_text("mine")
    assert main(["uninstall", *place]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Boot0001 deleted; the boot order is Boot0002, Boot0000",
        f"{here.esp}: ZppBoot.efi, ZppDxe.efi, zpp.conf removed from \\EFI\\zpp",
        "\\EFI\\zpp\\mine: left, because it is not from zpp-image",
    ]
    (here.zpp / "mine").unlink()
    assert main(["uninstall", *place]) == 0
    assert capsys.readouterr().out == f"{here.esp}: zpp is not installed\n"


def test_settings_of_the_configuration(here: OwnMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERIAL_PORT", "0x2f8")
    monkeypatch.setenv("BOOT_TRIES", "5")
    assert main(["install", "--esp", str(here.esp), "--build-dir", str(here.build)]) == 0
    conf = parse((here.zpp / "zpp.conf").read_bytes())
    assert (conf.serial, conf.boot_tries) == (0x2F8, 5)


def test_the_record(own: OwnMachine) -> None:
    own.install()
    record = json.loads((own.zpp / "install.json").read_text())
    assert record["created_by"] == f"zpp-image {__version__}"
    assert set(record["files"]) == {"ZppBoot.efi", "ZppDxe.efi", "zpp.conf"}


def test_the_esp_has_no_findings(own: OwnMachine, tmp_path: Path) -> None:
    own.install()
    image = tmp_path / "esp.img"
    assert main(["make", str(image), "--hypervisor", "none", "--add", f"{own.esp}/EFI:/"]) == 0
    assert verify(image).findings == ()
    assert (own.esp / "EFI/debian/shimx64.efi").read_bytes() == LOADER


def test_doctor_and_install_read_the_same_state(own: OwnMachine) -> None:
    states = []
    for value in (b"\1", b"\0", b"\1\1"):
        own.set("SecureBoot", value)
        states.append(Efivars(own.efivars).secure_boot())
    assert states == [True, False, None]
