"""The USB guest's modules, from kernel packages as Debian 12 and 13 build them."""

from __future__ import annotations

import lzma
import subprocess
import tarfile
from pathlib import Path

import build
import pytest
import usb_build

FOLDER = "lib/modules/6.0/kernel"
GONE_LATER = usb_build.NOT_IN_EVERY_KERNEL


def module(name: str, depends: str = "") -> bytes:
    return f"\0name={name}\0depends={depends}\0".encode()


def package(folder: Path, files: dict[str, bytes]) -> Path:
    """A .deb with these files."""
    root = folder / "root"
    control = (
        "Package: linux-image\nVersion: 1\nArchitecture: amd64\nMaintainer: x\nDescription: x\n"
    )
    for name, data in {"DEBIAN/control": control.encode(), **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    deb = folder / "linux.deb"
    command = ["dpkg-deb", "--build", "--root-owner-group", str(root), str(deb)]
    subprocess.run(command, check=True, capture_output=True)
    return deb


def extracted(folder: Path, files: dict[str, bytes]) -> dict[str, bytes]:
    """The modules that the guest loads, in order."""
    usb_build.extract(package(folder, {"boot/vmlinuz-6.0": b"kernel", **files}), folder)
    assert (folder / "vmlinuz").read_bytes() == b"kernel"
    with tarfile.open(folder / "modules.tar") as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]


def modules(names: list[str], ending: str = ".ko") -> dict[str, bytes]:
    pack = lzma.compress if ending == ".ko.xz" else bytes
    return {f"{FOLDER}/{name}{ending}": pack(module(name)) for name in names}


def test_modules_of_debian_12(tmp_path: Path) -> None:
    files = {
        **modules(usb_build.MODULES),
        f"{FOLDER}/virtio_ring.ko": module("virtio_ring"),
        f"{FOLDER}/virtio_pci.ko": module("virtio_pci", "virtio-ring"),
        f"{FOLDER}/other.ko": module("other"),
    }
    found = extracted(tmp_path, files)
    names = [name.replace("-", "_") for name in usb_build.MODULES]
    assert list(found) == [f"{name}.ko" for name in ("virtio_ring", *names)]
    assert found["uas.ko"] == module("uas")


def test_modules_of_debian_13(tmp_path: Path) -> None:
    """Compressed, one built in, the checksums gone."""
    names = [n for n in usb_build.MODULES if n not in ("virtio_pci", *GONE_LATER)]
    built_in = b"kernel/drivers/virtio/virtio_pci.ko\nkernel/fs/ext4/ext4.ko\n"
    files = {**modules(names, ".ko.xz"), "lib/modules/6.0/modules.builtin": built_in}
    found = extracted(tmp_path, files)
    assert list(found) == [f"{name.replace('-', '_')}.ko" for name in names]
    assert found["uas.ko"] == module("uas")


@pytest.mark.parametrize("missing", [n for n in usb_build.MODULES if n not in GONE_LATER])
def test_module_that_is_missing(tmp_path: Path, missing: str) -> None:
    files = modules([name for name in usb_build.MODULES if name != missing])
    with pytest.raises(build.GuestError, match=f"the module {missing.replace('-', '_')}$"):
        extracted(tmp_path, files)
