#!/bin/bash
# LIEF 1.0.0 does not read an Authenticode signature that pesign 0.112 made.
#
# Input: systemd-boot (Debian 12), signed once by sbsign 0.9.4 and once by pesign with the same
# RSA-2048 key and SHA-256. sbverify accepts both. LIEF lists one signature in the first file and none
# in the second, without an exception.
#
# Why: in SpcIndirectDataContent, pesign writes the identifier 1.3.6.1.4.1.311.2.1.21 (individual code
# signing) as data.type; LIEF expects 1.3.6.1.4.1.311.2.1.15 (SPC_PE_IMAGE_DATA).
#
# Needs Debian 12 with apt's package lists, python3-venv and openssl. Fails if it sees anything else.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

apt-get -q download pesign=0.112-6 sbsigntool=0.9.4-3.1 systemd-boot-efi libnss3 libnss3-tools \
    libnspr4 libpopt0 libefivar1 >/dev/null
for package in *.deb; do dpkg-deb -x "$package" unpacked; done
export PATH=$folder/unpacked/usr/bin:$PATH LD_LIBRARY_PATH=$folder/unpacked/usr/lib/x86_64-linux-gnu
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check lief==1.0.0 2>/dev/null

openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=finding \
    -keyout key.pem -out cert.pem 2>/dev/null
openssl pkcs12 -export -inkey key.pem -in cert.pem -out key.p12 -passout pass: -name key
mkdir nss
certutil -N -d nss --empty-password
pk12util -i key.p12 -d nss -W '' >/dev/null
program=unpacked/usr/lib/systemd/boot/efi/systemd-bootx64.efi
sbsign --key key.pem --cert cert.pem --output sbsign.efi $program 2>/dev/null
pesign -n nss -c key -s -i $program -o pesign.efi

for signer in sbsign pesign; do
    sbattach --detach $signer.p7 $signer.efi
    echo "$signer: $(sbverify --cert cert.pem $signer.efi 2>&1 | tail -n 1)," \
        "signatures that LIEF lists:" \
        "$(venv/bin/python -c "import lief; print(len(lief.PE.parse('$signer.efi').signatures))")," \
        "data.type: $(openssl asn1parse -inform DER -in $signer.p7 |
            grep -o -m 1 'd=7 .*OBJECT.*' | sed 's/.*OBJECT *://')"
done | tee seen

diff seen - <<'END'
sbsign: Signature verification OK, signatures that LIEF lists: 1, data.type: 1.3.6.1.4.1.311.2.1.15
pesign: Signature verification OK, signatures that LIEF lists: 0, data.type: Microsoft Individual Code Signing
END
