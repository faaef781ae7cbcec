#!/bin/bash
# LIEF 1.0.0 finds no certificate in a valid file until it has parsed a signed PE file.
#
# Input: a self-signed RSA-2048 certificate in DER, by openssl. `lief.PE.x509.parse` returns an empty
# list and logs the error 3B00, "invalid public key" of Mbed TLS. After `lief.PE.parse` of a signed PE
# file in the same process, the same call with the same file returns the certificate.
#
# Needs Debian 12 with apt's package lists, python3-venv and openssl. Fails if it sees anything else.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

apt-get -q download sbsigntool=0.9.4-3.1 systemd-boot-efi >/dev/null
for package in *.deb; do dpkg-deb -x "$package" unpacked; done
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check lief==1.0.0 2>/dev/null

openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=finding \
    -keyout key.pem -out cert.pem 2>/dev/null
openssl x509 -in cert.pem -outform DER -out cert.der
unpacked/usr/bin/sbsign --key key.pem --cert cert.pem --output signed.efi \
    unpacked/usr/lib/systemd/boot/efi/systemd-bootx64.efi 2>/dev/null

{
    echo "openssl: $(openssl x509 -noout -subject -in cert.der)"
    venv/bin/python - <<'END'
import lief

lief.logging.disable()
print("before:", len(lief.PE.x509.parse("cert.der")), len(lief.PE.x509.parse("cert.der")))
print("signatures in the PE file:", len(lief.PE.parse("signed.efi").signatures))
print("after:", [found.subject for found in lief.PE.x509.parse("cert.der")])
END
    venv/bin/python -c 'import lief; lief.PE.x509.parse("cert.der")' 2>&1 |
        grep -o 3B00 | sed 's/^/logged: /'
} | tee seen

diff seen - <<'END'
openssl: subject=CN = finding
before: 0 0
signatures in the PE file: 1
after: ['CN=finding']
logged: 3B00
END
