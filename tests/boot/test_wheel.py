"""The wheel has all that a machine without a compiler and a checkout needs, and nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from harness import Harness
from spdx_tools.spdx.parser import parse_anything
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("ZppBoot.efi", "ZppDxe.efi", "hypervisor.debug.elf")
PLACE = "efi_image/data/zpp"


def make_wheel(harness: Harness, name: str) -> Path:
    """As `make dist` builds it."""
    output, pages = harness.folder / name, harness.folder / "man"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SOURCE_DATE_EPOCH": "1700000000"}
    edk2 = os.environ.get("EDK2_ROOT") or ROOT / ".cache/edk2"
    for script in (
        ("man_pages.py", pages),
        ("dist/wheel.py", harness.build_directory, edk2, pages, output),
    ):
        words = [sys.executable, ROOT / ".ci" / script[0], *script[1:]]
        subprocess.run(words, check=True, cwd=ROOT, env=environment, capture_output=True)
    (wheel,) = output.glob("*.whl")
    return wheel


def test_wheel_boots_without_a_checkout(harness: Harness) -> None:
    wheel = make_wheel(harness, "wheel")
    assert make_wheel(harness, "again").read_bytes() == wheel.read_bytes()
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    for name in PROGRAMS:
        assert files[f"{PLACE}/{name}"] == (harness.build_directory / name).read_bytes()
    assert_described(files)
    (sbom,) = (name for name in files if name.endswith("spdx.json"))
    (harness.folder / "zpp.spdx.json").write_bytes(files[sbom])
    document = parse_anything.parse_file(str(harness.folder / "zpp.spdx.json"))
    assert validate_full_spdx_document(document) == []
    program = install(wheel, harness.folder / "venv")
    esp = harness.folder / "esp.img"
    # .venv's packages, but not the checkout in it
    libraries = {**os.environ, "PYTHONPATH": sysconfig.get_path("purelib")}
    for words in (
        ("make", "esp.img"),
        ("verify", "esp.img"),
        ("run", "esp.img", "--cpus", "2", "--expect", "runs on 2 CPUs", "--timeout", "120"),
    ):
        done = subprocess.run(
            (program, *words), cwd=harness.folder, env=libraries, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert (harness.build_directory / "ZppDxe.efi").read_bytes() in esp.read_bytes()


def assert_described(files: dict[str, bytes]) -> None:
    """The SBOM names each file that is not Python's, with its digest."""
    (sbom,) = (json.loads(data) for name, data in files.items() if name.endswith("spdx.json"))
    described = {
        file["fileName"].removeprefix("./"): {
            each["algorithm"]: each["checksumValue"] for each in file["checksums"]
        }
        for file in sbom["files"]
    }
    built = [n for n in files if re.match(r"efi_image/data/.*\.(efi|elf|so|edk2)$", n)]
    assert sorted(described) == sorted(built)
    for name, digests in described.items():
        assert digests["SHA256"] == hashlib.sha256(files[name]).hexdigest()
    identifiers = {each["SPDXID"] for each in (*sbom["files"], *sbom["packages"])}
    for relation in sbom["relationships"]:
        assert {relation["spdxElementId"], relation["relatedSpdxElement"]} <= identifiers


def install(wheel: Path, folder: Path) -> Path:
    """Into a separate environment; returns the program."""
    subprocess.run((sys.executable, "-m", "venv", folder), check=True)
    pip = (folder / "bin/pip", "--quiet", "--disable-pip-version-check", "install")
    subprocess.run((*pip, "--no-deps", "--no-index", wheel), check=True)
    return folder / "bin/zpp-image"


@pytest.mark.slow
def test_programs_are_the_same_in_another_folder(harness: Harness) -> None:
    """The build does not depend on its folder."""
    checkout = harness.folder / "another"
    tracked = subprocess.check_output(("git", "ls-files", "-z"), cwd=ROOT).decode()
    for name in tracked.rstrip("\0").split("\0"):
        target = checkout / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target, follow_symlinks=False)
    for name in (".cache", ".venv"):
        (checkout / name).symlink_to(ROOT / name)
    configuration = harness.build_directory.relative_to(ROOT / "out")
    words = ("make", "-j2", "uefi", f"CONFIGURATION={configuration.parts[0]}")
    environment = {n: v for n, v in os.environ.items() if not n.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        words, cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for name in PROGRAMS:
        built = checkout / "out" / configuration / name
        assert built.read_bytes() == (harness.build_directory / name).read_bytes()
