"""zpp_loader.sys as a file: what Windows' loader and code integrity require of a driver."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import lief
import pefile
import pytest
from windows_run import build_directory

from efi_image.config.environment import find_root, load
from efi_image.inspect.pe import pe_facts

pytestmark = pytest.mark.slow

ROOT = find_root()
assert ROOT is not None
WINDOWS = ROOT / "windows"
NATIVE = 1
EXECUTABLE, WRITABLE, DISCARDABLE = 0x2000_0000, 0x8000_0000, 0x0200_0000
DYNAMIC_BASE, NX_COMPAT, HIGH_ENTROPY = 0x40, 0x100, 0x20
RELOCS_STRIPPED, IS_64_BIT_PLUS = 1, 0x20B
# the Windows versions that the list may name: all before Windows 10
RELEASES = ("2000", "XP", "Vista", "7", "8", "8.1")


@pytest.fixture(scope="module")
def driver() -> Path:
    return build_directory() / "zpp_loader.sys"


@pytest.fixture(scope="module")
def pe(driver: Path) -> pefile.PE:
    return pefile.PE(data=driver.read_bytes())


def listed_functions() -> dict[str, str]:
    """The functions of ntoskrnl.def: name → first Windows version."""
    lines = (WINDOWS / "ntoskrnl.def").read_text().partition("EXPORTS\n")[2].splitlines()
    matches = [re.fullmatch(r"(\w+) +; \w+\.h +(\S+)", line) for line in lines]
    assert all(matches), lines
    return {match[1]: match[2] for match in matches if match}


def test_it_is_a_native_program_for_x86_64(pe: pefile.PE) -> None:
    header = pe.OPTIONAL_HEADER
    assert (pe.FILE_HEADER.Machine, header.Magic) == (0x8664, IS_64_BIT_PLUS)
    assert header.Subsystem == NATIVE
    assert (header.MajorSubsystemVersion, header.MinorSubsystemVersion) == (10, 0)
    wanted = DYNAMIC_BASE | NX_COMPAT | HIGH_ENTROPY
    assert header.DllCharacteristics & wanted == wanted
    assert pe.get_warnings() == []


def test_imports_are_the_listed_functions_and_all_of_them(pe: pefile.PE, driver: Path) -> None:
    (descriptor,) = pe.DIRECTORY_ENTRY_IMPORT
    assert descriptor.dll == b"ntoskrnl.exe"
    names = {entry.name.decode() for entry in descriptor.imports}
    functions = listed_functions()
    assert names == set(functions)
    assert set(functions.values()) <= set(RELEASES)
    binary = lief.PE.parse(str(driver))
    assert binary is not None
    assert {str(entry.name) for entry in binary.imports[0].entries} == names


def test_sections(pe: pefile.PE) -> None:
    names = [section.Name.rstrip(b"\0").decode() for section in pe.sections]
    assert names[0] == ".text"
    assert pe.OPTIONAL_HEADER.SectionAlignment == 0x1000
    for section in pe.sections:
        assert not (section.Characteristics & EXECUTABLE and section.Characteristics & WRITABLE)
        assert section.VirtualAddress % 0x1000 == 0
    executable = [s.Name.rstrip(b"\0") for s in pe.sections if s.Characteristics & EXECUTABLE]
    assert executable == [b".text"]


def test_relocations(pe: pefile.PE, driver: Path) -> None:
    assert not pe.FILE_HEADER.Characteristics & RELOCS_STRIPPED
    blocks = pe.DIRECTORY_ENTRY_BASERELOC
    entries = [entry for block in blocks for entry in block.entries if entry.type]
    assert entries
    binary = lief.PE.parse(str(driver))
    assert binary is not None
    assert binary.has_relocations
    # the absolute addresses in the file are all among them: none is left of another base
    base = pe.OPTIONAL_HEADER.ImageBase
    places = {entry.rva for entry in entries}
    size = pe.OPTIONAL_HEADER.SizeOfImage
    core = (build_directory() / "hypervisor.elf").read_bytes()
    image = pe.get_memory_mapped_image().replace(core, bytes(len(core)))
    for rva in range(0x1000, len(image) - 7, 8):
        value = int.from_bytes(image[rva : rva + 8], "little")
        assert rva in places or not base < value < base + size, hex(rva)


def test_checksum(pe: pefile.PE, driver: Path) -> None:
    assert pe.OPTIONAL_HEADER.CheckSum == pe.generate_checksum() != 0
    binary = lief.PE.parse(str(driver))
    assert binary is not None
    assert binary.compute_checksum() == binary.optional_header.checksum  # of LIEF


def test_signature(driver: Path, tmp_path: Path) -> None:
    certificate = build_directory() / "windows/test-signing.crt"
    verify = ["osslsigncode", "verify", "-CAfile", str(certificate), "-in"]
    done = subprocess.run([*verify, str(driver)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    binary = lief.PE.parse(str(driver))
    assert binary is not None
    assert binary.verify_signature() == lief.PE.Signature.VERIFICATION_FLAGS.OK
    (signature,) = pe_facts([driver.read_bytes()], "zpp_loader.sys").signatures
    assert signature.matches
    # a byte of the core is changed: all three see it
    data = bytearray(driver.read_bytes())
    core = (build_directory() / "hypervisor.elf").read_bytes()
    data[data.index(core[:64]) + 0x2000] ^= 1
    damaged = tmp_path / "damaged.sys"
    damaged.write_bytes(data)
    done = subprocess.run([*verify, str(damaged)], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    binary = lief.PE.parse(str(damaged))
    assert binary is not None
    assert binary.verify_signature() != lief.PE.Signature.VERIFICATION_FLAGS.OK
    (signature,) = pe_facts([bytes(data)], "damaged.sys").signatures
    assert not signature.matches


def test_certificate_is_what_windows_is_to_trust(driver: Path) -> None:
    certificate = driver.with_name("zpp_test_signing.cer")
    command = ["openssl", "x509", "-inform", "DER", "-in", str(certificate), "-noout", "-text"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Code Signing" in text
    assert "CA:FALSE" in text
    assert "sha256WithRSAEncryption" in text
    key = build_directory() / "windows/test-signing.key"
    assert key.stat().st_mode & 0o077 == 0
    ignored = ["git", "check-ignore", "--quiet", str(key)]
    assert subprocess.run(ignored, cwd=ROOT, check=False).returncode == 0


def test_the_core_inside_is_the_very_file(driver: Path) -> None:
    core = (build_directory() / "hypervisor.elf").read_bytes()
    data = driver.read_bytes()
    places = [m.start() for m in re.finditer(re.escape(core[:64]), data)]  # its ELF header
    inside = [hashlib.sha256(data[at : at + len(core)]).hexdigest() for at in places]
    assert inside == [hashlib.sha256(core).hexdigest()]


def test_nothing_of_the_build_machine_is_inside(driver: Path) -> None:
    data = driver.read_bytes()
    assert str(ROOT).encode() not in data
    assert b"zpp_loader.pdb" in data
    pdb = driver.with_suffix(".pdb").read_bytes()
    assert pdb.startswith(b"Microsoft C/C++ MSF 7.00")


def make(out: Path, *variables: str, target: str = "all") -> subprocess.CompletedProcess[str]:
    """`make -C windows` into a folder of its own, around the core that is built already."""
    config = load()
    command = [
        "make", "-C", str(WINDOWS), target, f"OUT={out}", f"TOOLCHAIN={config.toolchain}",
        f"CONFIGURATION={config.configuration.value}", f"SERIAL_PORT={config.serial_port:#x}",
        f"HYPERVISOR_ELF={build_directory() / 'hypervisor.elf'}", *variables,
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_same_sources_same_driver(tmp_path: Path) -> None:
    """But for the signature, whose key is another in each build tree."""
    built = []
    for out in (tmp_path / "a", tmp_path / "another/place"):
        target = out / "windows/zpp_loader.unsigned.sys"
        done = make(out, target=str(target))
        assert done.returncode == 0, done.stderr
        built.append(target.read_bytes())
    assert built[0] == built[1]
    unsigned = build_directory() / "windows/zpp_loader.unsigned.sys"
    assert built[0] == unsigned.read_bytes()
    again = make(tmp_path / "a", target=str(tmp_path / "a/windows/zpp_loader.unsigned.sys"))
    assert not re.search("CC|LD", again.stdout), "nothing has changed, and something was built"


def kits(root: Path, *versions: str) -> None:
    """Folders as Visual Studio and the Windows Driver Kit have them, without a file."""
    for version in ("14.9.1", "14.29.30133", "14.30.30705"):
        (root / f"Visual Studio/VC/Tools/MSVC/{version}/include").mkdir(parents=True)
    for version in versions:
        for name in ("km/crt", "shared"):
            (root / f"Windows Kits/10/Include/{version}/{name}").mkdir(parents=True)


def toolchain(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(WINDOWS / "toolchain.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("asked", "used"), [("", "10.0.22621.0"), ("10.0.9999.0", "10.0.9999.0")])
def test_visual_studio_and_the_kits(tmp_path: Path, asked: str, used: str) -> None:
    kits(tmp_path, "10.0.9999.0", "10.0.22621.0")
    file = tmp_path / "out/compile.rsp"
    done = toolchain(
        str(file), "--visual-studio", str(tmp_path / "Visual Studio"),
        "--kits", str(tmp_path / "Windows Kits/10"), "--kits-version", asked,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # as clang itself reads the response file
    clang = [str(load().toolchain / "clang"), f"@{file}", "-###", "-xc", "-c", "-"]
    words = subprocess.run(clang, capture_output=True, text=True, check=True).stderr
    assert '"-triple" "x86_64-pc-windows-msvc' in words
    include = tmp_path / f"Windows Kits/10/Include/{used}"
    compiler = tmp_path / "Visual Studio/VC/Tools/MSVC/14.30.30705/include"
    for folder in (include / "km", include / "km/crt", include / "shared", compiler):
        assert f'"-internal-isystem" "{folder}"' in words or f'"-isystem" "{folder}"' in words


def test_missing_visual_studio(tmp_path: Path) -> None:
    kits(tmp_path, "10.0.22621.0")
    studio, root = str(tmp_path / "Visual Studio"), str(tmp_path / "Windows Kits/10")
    for arguments, fault in (
        (("--kits", root), "set both VISUAL_STUDIO_ROOT and WINDOWS_KITS_ROOT, or neither"),
        (
            ("--visual-studio", studio),
            "set both VISUAL_STUDIO_ROOT and WINDOWS_KITS_ROOT, or neither",
        ),
        (
            ("--visual-studio", "/none", "--kits", root),
            "VISUAL_STUDIO_ROOT: /none/VC/Tools/MSVC is missing",
        ),
        (
            ("--visual-studio", studio, "--kits", "/none"),
            "WINDOWS_KITS_ROOT: /none/Include is missing",
        ),
        (
            ("--visual-studio", studio, "--kits", root, "--kits-version", "10.1"),
            f"WINDOWS_KITS_ROOT: {root}/Include/10.1/km is missing",
        ),
    ):
        done = toolchain(str(tmp_path / "compile.rsp"), *arguments)
        assert done.returncode == 1
        assert done.stderr.startswith(f"windows: {fault}")
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "compile.rsp").exists()


def test_make_names_what_is_missing(tmp_path: Path) -> None:
    done = make(tmp_path, "WINDOWS_KITS_ROOT=/none", "VISUAL_STUDIO_ROOT=/none")
    assert done.returncode != 0
    assert "windows: VISUAL_STUDIO_ROOT: /none/VC/Tools/MSVC is missing" in done.stderr
