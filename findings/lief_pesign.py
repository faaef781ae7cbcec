"""LIEF 1.0.0 does not read an Authenticode signature that pesign 0.112 made.

Input: systemd-boot (Debian 12), signed once by sbsign and once by pesign with the same RSA-2048
key and SHA-256. sbverify accepts both. LIEF lists one signature in the first file and none in the
second, without an exception.

Why: in SpcIndirectDataContent, pesign writes the identifier 1.3.6.1.4.1.311.2.1.21 (individual
code signing) as data.type, and LIEF expects 1.3.6.1.4.1.311.2.1.15 (SPC_PE_IMAGE_DATA). OpenSSL,
so also sbverify and EDK2's firmware, does not look at it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from packages import debian, expect, key, python, run

PROGRAM = "root/usr/lib/systemd/boot/efi/systemd-bootx64.efi"
COUNT = "import sys, lief; print(len(lief.PE.parse(sys.argv[1]).signatures))"
READ = """
import sys, lief
print(lief.PE.Signature.parse(sys.argv[1]) is not None)
"""
TYPE = "1.3.6.1.4.1.311.2.1.{}"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="finding-") as name:
        folder = Path(name)
        debian(
            folder, "pesign=0.112-6", "sbsigntool=0.9.4-3.1", "systemd-boot-efi", "libnss3",
            "libnss3-tools", "libnspr4", "libpopt0", "libefivar1",
        )  # fmt: skip
        lief = python(folder, "lief==1.0.0")
        key(folder)
        (folder / "nss").mkdir()
        for command in (
            f"sbsign --key key.pem --cert cert.pem --output sbsign.efi {PROGRAM}",
            "certutil -N -d nss --empty-password",
            "openssl pkcs12 -export -inkey key.pem -in cert.pem -out k.p12 -passout pass: -name k",
            "pk12util -i k.p12 -d nss -W ",
            f"pesign -n nss -c k -s -i {PROGRAM} -o pesign.efi",
        ):
            run(*command.split(" "), folder=folder)
        for signer, signatures, kind in (("sbsign", "1", "15"), ("pesign", "0", "21")):
            program = f"{signer}.efi"
            verdict = run("sbverify", "--cert", "cert.pem", program, folder=folder)
            expect(f"{signer}: sbverify", verdict.splitlines()[-1], "Signature verification OK")
            seen = run(lief, "-c", COUNT, program, folder=folder).splitlines()[-1]
            expect(f"{signer}: signatures that LIEF lists", seen, signatures)
            run("sbattach", "--detach", f"{signer}.p7", program, folder=folder)
            read = run(lief, "-c", READ, f"{signer}.p7", folder=folder).splitlines()[-1]
            expect(f"{signer}: LIEF parses the signature alone", read, str(signer == "sbsign"))
            listing = run("openssl", "asn1parse", "-inform", "DER", "-in", f"{signer}.p7",
                          folder=folder)  # fmt: skip
            expect(f"{signer}: data.type", str(_data_type(listing)), TYPE.format(kind))


def _data_type(listing: str) -> str:
    """The object identifier at the seventh level, where SpcIndirectDataContent has data.type."""
    named = {"Microsoft Individual Code Signing": TYPE.format(21)}
    line = next(line for line in listing.splitlines() if ":d=7 " in line and "OBJECT" in line)
    text = line.rpartition("OBJECT")[2].strip().removeprefix(":")
    return named.get(text, text)


if __name__ == "__main__":
    main()
