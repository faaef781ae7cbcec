"""Settings of `make` that need another one; a new one joins in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from efi_image.cli.main import main
from efi_image.config.environment import load
from efi_image.config.manifest import from_tables
from efi_image.config.resolve import resolve
from efi_image.config.settings import KEYS, merge
from efi_image.errors import UsageError

GUID = "8c8a6d4b-45f0-4a8e-9f0c-5f1d2b3c4d5e"

# (setting, value, the others that leave it without effect, and that give it one, complaint)
ROWS = [
    ("initrd", "i", "", "kernel=k", "works only with --kernel or --rootfs"),
    ("initrd", "i", "", "rootfs=r", "works only with --kernel or --rootfs"),
    ("cmdline", "quiet", "", "kernel=k", "works only with --kernel or --rootfs"),
    ("rootfs-size", "2G", "kernel=k", "rootfs=r", "works only with --rootfs"),
    ("kernel", "k", "hypervisor=none", "hypervisor=off", "needs ZppBoot, which --hypervisor none"),
    ("rootfs", "r", "hypervisor=none", "", "needs ZppBoot, which --hypervisor none"),
    ("serial", "0x2f8", "hypervisor=none", "", "needs ZppBoot, which --hypervisor none"),
    ("visible", "off", "hypervisor=none", "hypervisor=off", "needs ZppBoot, which --hypervisor"),
    ("reset-after", "5", "hypervisor=none", "", "needs ZppBoot, which --hypervisor none"),
    ("disk-guid", GUID, "table=mbr", "table=iso", "the table 'mbr' has no GUID"),
    ("partition-guid", GUID, "table=none", "table=gpt", "the table 'none' has no GUID"),
    ("disk-signature", "1234-ABCD", "table=gpt", "table=mbr", "'gpt' has no disk signature"),
    ("align", "1M", "table=none", "table=mbr", "the table 'none' has no partitions"),
    ("rootfs", "r", "table=mbr", "table=gpt", "has no GUIDs, by which Linux finds its root"),
]


@pytest.mark.parametrize(("key", "value", "without", "with_it", "complaint"), ROWS)
def test_a_setting_without_effect_is_refused(
    key: str, value: str, without: str, with_it: str, complaint: str
) -> None:
    def resolved(others: str) -> None:
        tables = dict(pair.split("=") for pair in others.split()) | {key: value}
        resolve(merge(load(environ={}), from_tables(tables, Path("disk.toml"))), {})

    resolved(with_it)
    with pytest.raises(UsageError) as raised:
        resolved(without)
    assert complaint in str(raised.value)
    assert raised.value.where == f"disk.toml: {key}"


def test_defaults_and_the_configuration_are_not_refused() -> None:
    for others in ({"hypervisor": "none"}, {"table": "none"}, {"table": "mbr"}):
        config = load(environ={"SERIAL_PORT": "0x2f8"})
        resolve(merge(config, from_tables({**others}, Path("disk.toml"))), {})
    with pytest.raises(UsageError):  # an empty value takes a setting back
        resolve(merge(config, from_tables({"initrd": "i", "kernel": ""}, Path("disk.toml"))), {})


@pytest.mark.parametrize("value", ["0", "-1", "1", "1K", "999999999999999T"])
@pytest.mark.parametrize("key", ["size", "align", "rootfs-size"])
def test_sizes_that_are_far_off_get_one_line(
    key: str, value: str, build_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert key in KEYS
    more = ["--rootfs", str(build_dir)] if key == "rootfs-size" else []
    words = ["make", str(tmp_path / "x.img"), "--build-dir", str(build_dir), *more]
    code = main([*words, f"--{key}", value])
    err = capsys.readouterr().err
    if (key, value) == ("align", "1K"):
        assert (code, err) == (0, "")
        return
    assert code in {2, 5}
    assert err.startswith(f"zpp-image: --{key}: ")
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "x.img").exists()
