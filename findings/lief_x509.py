"""LIEF 1.0.0 finds no certificate in a valid file until it has parsed a signed PE file.

Input: a self-signed RSA-2048 certificate in DER, by openssl. `lief.PE.x509.parse` returns an empty
list, and LIEF logs "UNKNOWN ERROR CODE (3B00)". After `lief.PE.parse` of a signed PE file in the
same process, the same call with the same file returns the certificate.

Why, as it seems: 3B00 is Mbed TLS's "invalid public key"; the parser of PE files sets the
cryptography of Mbed TLS up, and that of certificates relies on it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from packages import debian, expect, key, python, run

PROGRAM = "root/usr/lib/systemd/boot/efi/systemd-bootx64.efi"
COUNT = """
import lief
lief.logging.disable()
before = len(lief.PE.x509.parse("cert.der"))
again = len(lief.PE.x509.parse("cert.der"))
signatures = len(lief.PE.parse("signed.efi").signatures)
after = lief.PE.x509.parse("cert.der")
print(before, again, signatures, len(after), after[0].subject)
"""
LOGGED = 'import lief; lief.PE.x509.parse("cert.der")'


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="finding-") as name:
        folder = Path(name)
        debian(folder, "sbsigntool=0.9.4-3.1", "systemd-boot-efi")
        lief = python(folder, "lief==1.0.0")
        key(folder)
        sign = ("sbsign", "--key", "key.pem", "--cert", "cert.pem", "--output", "signed.efi")
        run(*sign, PROGRAM, folder=folder)
        subject = run(*"openssl x509 -noout -subject -in cert.pem".split(), folder=folder)
        expect("openssl reads it", subject.strip(), "subject=CN = finding")
        seen = run(lief, "-c", COUNT, folder=folder).splitlines()[-1]
        expect("before, again, signatures, after", seen, "0 0 1 1 CN=finding")
        logged = run(lief, "-c", LOGGED, folder=folder)
        expect("LIEF's log has the error code", str("(3B00" in logged), "True")


if __name__ == "__main__":
    main()
