"""Programs with and without signatures: the verdict of `verify`, and OVMF with Secure Boot."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import firmware_boot
import oracles
from efi_word import Ending, word_program
from fatdamage import make_fat
from firmware_rows import NOTHING
from harness import Harness
from secure_lab import X509, SecureLab, signature_list
from secure_rows import ROWS, databases, programs
from test_firmware_claims import allowed

from efi_image.formats.signature_list import read_keys
from efi_image.verify import Options, verify
from efi_image.verify.secure_boot import Keys

GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
DATABASE = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
ATTRIBUTES = 0x27  # non-volatile, boot services, runtime, time-based authentication
TIME = bytes([0xE8, 7, 1, 1]) + bytes(12)  # an EFI_TIME of 2024
# all certificates have expired by then; firmware ignores it
LATER = ("-rtc", "base=2040-01-01")


def program(number: int) -> bytes:
    return word_program(f"{number:06}")


def enrolled(build: firmware_boot.Ovmf, folder: Path, lists: dict[str, bytes]) -> Path:
    """A variable store with these keys and Secure Boot on, by virt-fw-vars."""
    variables = [
        {
            "name": name,
            "guid": GLOBAL if name in ("PK", "KEK") else DATABASE,
            "attr": ATTRIBUTES,
            "data": data.hex(),
            "time": TIME.hex(),
        }
        for name, data in lists.items()
    ]
    source, store = folder / "keys.json", folder / "variables.fd"
    source.write_text(json.dumps({"version": 2, "variables": variables}))
    tool = Path(sys.executable).with_name("virt-fw-vars")
    oracles.run(
        str(tool), "--input", build.variables, "--output", store, "--set-json", source, "--sb"
    )
    return store


def test_verdicts_are_those_of_ovmf(harness: Harness) -> None:
    lab = SecureLab(harness.folder)
    files = programs(lab, program)
    db, dbx = databases(lab, program)
    paths = {"db": harness.folder / "db.esl", "dbx": harness.folder / "dbx.esl"}
    paths["db"].write_bytes(db)
    paths["dbx"].write_bytes(dbx)
    keys = Keys(read_keys([paths["db"]]), read_keys([paths["dbx"]]))
    drives = []
    for number, (row, file) in enumerate(zip(ROWS, files, strict=True)):
        image = make_fat(harness.folder, 12, name=f"{number}.img", program=file)
        found = {f.rule.code for f in verify(image, Options(keys=keys)).findings}
        assert found == ({f"ZPP-{row.rule}"} if row.rule else set()), row.program
        drives.append(firmware_boot.Drive(number, image))

    platform = signature_list(X509, lab.key("platform").der)
    lists = {"PK": platform, "KEK": platform, "db": db, "dbx": dbx}
    signed_end = lab.sbsign(word_program("end", Ending.POWER_OFF), lab.key("good"))

    def boot(build: firmware_boot.Ovmf) -> dict[int, str]:
        own = firmware_boot.own_harness(harness, build)
        return firmware_boot.started(
            own, build, drives, enrolled(build, own.folder, lists), sign=lambda _: signed_end,
            extra=LATER,
        )  # fmt: skip

    builds = [firmware_boot.installed(secure=True), firmware_boot.newest(harness, ".secboot")]
    with ThreadPoolExecutor(len(builds)) as pool:
        results = pool.map(boot, builds)
    wrong = [
        (build.version, row.program, result.get(number, NOTHING))
        for build, result in zip(builds, results, strict=True)
        for number, row in enumerate(ROWS)
        if result.get(number, NOTHING) not in allowed(row.results, build.version)
    ]
    assert wrong == []
