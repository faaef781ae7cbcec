"""The same inputs make the same bytes: images against digests recorded from an earlier version.

A digest here changes only with the format itself; say so in CHANGELOG.md and record it anew.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from makepe import BOOT_DRIVER, make_pe

from efi_image.cli.main import main

RECORDED = {
    "default": "747a4b0c431120d7e94072f8bb3ea63aa0200bcc165cc8d7075592fc9d9f5263",
    "mbr": "e0369569ba6d62dbdfc4a4da2b27c971a2a8fb1437679d8ab13e50ac968bf252",
    "plain 12": "3cea2339019c4a09b7886c8fdf914587f4633e775dfdf25c571cdf1511fe367f",
    "iso": "7f34faff44dc75cf1780a57a7ecf2e9ed22b4ed2baf1fd68e747bbaa7a418a45",
    "4096-byte sectors": "c3ae13f4787f29745eeae6d28e727133d4c9f3e9f3f9970996e2c336aa58972e",
    "partitions": "b58f2043b9e328dd3b7f0456c0ca8a70caaa0ead6326763520c46348ef1f4d6e",
    "minimal": "7597f4a9705641ff7fe6f8c2d3a6eb37b76a17357307b88cacdb944608e28ff3",
    "many files": "7ddf10b93bab0b3a7421d43309877ae228ac101be600d41f668f22306b931159",
    "dated": "7bce792f5b1c17b75ef15a7ea1f0fb8491353419acdb79930ce876c613fbde0d",
    "no hypervisor": "881c7c70a6f8f4402a31f503f523b5a4bfbcd66a5d8f4c969c2f5acf964656a6",
    "identities": "0168ddecd4acff1061f40c01555e487d8e5c9391a22005ec54c6adfb0bc4299f",
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
    "dated": "--kernel kernel.efi --initrd extra.bin --cmdline quiet",
    "no hypervisor": "--hypervisor none --boot kernel.efi --serial 0",
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
