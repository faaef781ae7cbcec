"""The same inputs make the same bytes: images against digests recorded from an earlier version.

A digest here changes only with the format itself; say so in CHANGELOG.md and record the new one.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from makepe import BOOT_DRIVER, make_pe

from efi_image.cli.main import main

RECORDED = {
    "default": "e7db092572e05df2bb05cf522401f783a20d86e8459af0c705088bfdfcce099c",
    "mbr": "e38b2a839db19865e41b9cfc23ba30088d49d9a9cdb5660e56f27dd53dd16948",
    "plain 12": "a87e1ab64f55c628544d78320b1c4f4712b1cc813ae1f6f9255f9c3d504d2f5f",
    "iso": "a6ba9db0dbe93c0c448e3f917e13a14f67bec0706d30792789cfbbb5c5dcfb47",
    "4096-byte sectors": "ccb0cb18d60f613562116f5635ab2f7a649d077e4d423704405d0b218632d96a",
    "partitions": "1d2d1307fb1efdae29d82a028097418cafb026248d479dcffcacf41c72735a6a",
    "minimal": "e0deac8e08e7c978d6e7e94ec6adc9a350e809c6e3ce04252032d24681281ad5",
    "many files": "f3cfc2590e132ccaff25c6256f0089ba1437e3d1a28f9d5b8cf0bb5789239b00",
    "dated": "62c4e376432e01e604904a6c3233b9383f693de5a1095740ce1541096fbacb89",
    "no hypervisor": "54ca1a7c80834a8e24d04f8960b85e7d4be01dc31d165c634cb2f417d69a0d83",
    "identities": "43e43ec6a963812d30863d3de3feb4ab6e3e4192cb7f9909ec0e804e2374d8b6",
}

OPTIONS = {
    "default": "",
    "mbr": "--table mbr --size 48M",
    "plain 12": "--plain-fat --size 2M --fat 12 --label TWELVE",
    "iso": "--table iso",
    "4096-byte sectors": "--sector-size 4096 --size 300M",
    "partitions": "--partition extra.bin:linux:root --partition extra.bin:swap",
    "minimal": "--size min --add docs:/docs",
    "many files": "--add many:/many",
    "dated": "--kernel kernel.efi --initrd initrd.img --cmdline quiet",
    "no hypervisor": "--hypervisor none --boot kernel.efi",
    "identities": "--volume-serial 1234-abcd --disk-guid 00112233-4455-6677-8899-aabbccddeeff"
    " --partition-guid 0fedcba9-8765-4321-8899-aabbccddeeff",
}


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files whose bytes are always the same."""
    (tmp_path / "build").mkdir()
    (tmp_path / "build/ZppBoot.efi").write_bytes(make_pe(text=bytes(range(256)) * 20))
    driver = make_pe(subsystem=BOOT_DRIVER, text=bytes(range(256)) * 117)
    (tmp_path / "build/ZppDxe.efi").write_bytes(driver)
    (tmp_path / "kernel.efi").write_bytes(make_pe(reloc_size=0, text=b"kernel" * 3000))
    (tmp_path / "extra.bin").write_bytes(b"extra" * 70_001)
    (tmp_path / "initrd.img").write_bytes(b"070701" * 70_001)
    (tmp_path / "docs/deep/er").mkdir(parents=True)
    (tmp_path / "docs/A long name, with blanks.text").write_bytes(b"long")
    (tmp_path / "docs/deep/er/empty").write_bytes(b"")
    (tmp_path / "many").mkdir()
    for number in range(600):
        (tmp_path / f"many/collision of names {number}.txt").write_text(f"{number}\n" * number)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", RECORDED)
def test_same_inputs_same_bytes(name: str, inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "dated":
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    words = ["make", "--build-dir", "build", "image", *OPTIONS[name].split()]
    assert main(words) == 0
    with (inputs / "image").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == RECORDED[name]
