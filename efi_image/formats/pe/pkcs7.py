"""PKCS #7 SignedData as Authenticode uses it: its parts, not whether they verify.

Sources: RFC 2315, 9 (SignedData); X.690 (DER); Microsoft's "Windows Authenticode Portable
Executable Signature Format" (SpcIndirectDataContent). What data.type of that content says is
ignored, as OpenSSL and so EDK2 do: signers write different values.
"""

from __future__ import annotations

from dataclasses import dataclass

_SEQUENCE, _INTEGER, _OCTETS, _OBJECT, _CONTEXT_0 = 0x30, 0x02, 0x04, 0x06, 0xA0
_SET = b"\x31"
_HASHES = {
    "2a864886f70d0205": "md5",
    "2b0e03021a": "sha1",
    "608648016503040201": "sha256",
    "608648016503040202": "sha384",
    "608648016503040203": "sha512",
    "608648016503040204": "sha224",
}
_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")
_INDIRECT_DATA = bytes.fromhex("2b060104018237020104")
_MESSAGE_DIGEST = bytes.fromhex("2a864886f70d010904")


@dataclass(frozen=True, slots=True)
class _Element:
    """A DER element: its tag, all its bytes, and its content."""

    tag: int
    whole: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class SignedData:
    """The digest of a file and who signed it; algorithms are names as in hashlib.

    `content` is what the message digest covers, and `certificates` are DER. `signer` is the
    issuer's name (DER) and serial number (the INTEGER's bytes) of the signer's certificate.
    `attributes` is the DER SET that is signed, b'' if `content` itself is.
    """

    algorithm: str
    digest: bytes
    content: bytes
    certificates: tuple[bytes, ...]
    signer: tuple[bytes, bytes]
    signer_algorithm: str
    attributes: bytes
    message_digest: bytes
    signature: bytes


def parse(der: bytes) -> SignedData:
    """The SignedData in a ContentInfo, with its only signer; raises ValueError if malformed."""
    outer = _children(_first(der, _SEQUENCE))
    if _checked(outer[0], _OBJECT) != _SIGNED_DATA:
        raise ValueError("not SignedData")
    fields = _children(_first(outer[1].content, _SEQUENCE))
    indirect = _children(fields[2])
    if _checked(indirect[0], _OBJECT) != _INDIRECT_DATA:
        raise ValueError("not Authenticode")
    content = _first(indirect[1].content, _SEQUENCE)
    digest_algorithm, digest = _children(_children(content)[1])
    certificates = next((field for field in fields[3:] if field.tag == _CONTEXT_0), None)
    signers = _children(fields[-1])
    if len(signers) > 1:
        raise ValueError("several signers")
    signer = _children(signers[0])
    issuer, serial = _children(signer[1])
    has_attributes = signer[3].tag == _CONTEXT_0
    return SignedData(
        algorithm=_hash_name(digest_algorithm),
        digest=_checked(digest, _OCTETS),
        content=content.content,
        certificates=tuple(
            each.whole for each in (_children(certificates) if certificates else ())
        ),
        signer=(issuer.whole, _checked(serial, _INTEGER)),
        signer_algorithm=_hash_name(signer[2]),
        attributes=_SET + signer[3].whole[1:] if has_attributes else b"",
        message_digest=_message_digest(signer[3]) if has_attributes else b"",
        signature=_checked(signer[5 if has_attributes else 4], _OCTETS),
    )


def issuer_and_serial(certificate: bytes) -> tuple[bytes, bytes]:
    """The issuer's name and the serial number of a certificate, as in `SignedData.signer`.

    Raises ValueError if it is malformed (RFC 5280, 4.1).
    """
    fields = _children(_children(_first(certificate, _SEQUENCE))[0])
    if fields[0].tag == _CONTEXT_0:  # the version
        fields = fields[1:]
    return fields[2].whole, _checked(fields[0], _INTEGER)


def _message_digest(attributes: _Element) -> bytes:
    for attribute in _children(attributes):
        kind, values = _children(attribute)
        if kind.content == _MESSAGE_DIGEST:
            return _checked(_children(values)[0], _OCTETS)
    raise ValueError("no message digest")


def _hash_name(algorithm: _Element) -> str:
    identifier = _checked(_children(algorithm)[0], _OBJECT).hex()
    return _HASHES.get(identifier, f"OID {identifier}")


def _checked(element: _Element, tag: int) -> bytes:
    if element.tag != tag:
        raise ValueError(f"tag 0x{element.tag:02x} where 0x{tag:02x} is expected")
    return element.content


def _first(der: bytes, tag: int) -> _Element:
    element = _element(der, 0)
    _checked(element, tag)
    return element


def _children(element: _Element) -> list[_Element]:
    """The elements in another; raises ValueError if there are none."""
    found, position = [], 0
    while position < len(element.content):
        child = _element(element.content, position)
        found.append(child)
        position += len(child.whole)
    if not found:
        raise ValueError("nothing inside")
    return found


def _element(der: bytes, start: int) -> _Element:
    if len(der) < start + 2:
        raise ValueError("ends within an element's head")
    length, at = der[start + 1], start + 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4 or len(der) < at + count:
            raise ValueError("a length that is not DER's")
        length = int.from_bytes(der[at : at + count], "big")
        at += count
    if len(der) < at + length:
        raise ValueError("ends within an element")
    return _Element(der[start], der[start : at + length], der[at : at + length])
