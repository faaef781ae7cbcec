"""X.509 certificates and their signatures; `cryptography` is loaded only to read one.

As UEFI, this ignores dates and usages (EDK2's Pkcs7Verify).
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

from efi_image.formats.pe import pkcs7
from efi_image.formats.pe.pkcs7 import SignedData

UNREADABLE_NAME = "a name that cannot be read"

_Result = TypeVar("_Result")


def _tried(call: Callable[[], _Result]) -> _Result | None:
    """The result of a call of `cryptography`; None if it refuses the data in any way."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.x509 import InvalidVersion  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd values, which firmware accepts
        try:
            return call()
        except (ValueError, TypeError, InvalidSignature, InvalidVersion, UnsupportedAlgorithm):
            return None


@lru_cache(maxsize=1024)
def load(der: bytes) -> Any | None:
    """The certificate as an object of `cryptography`; None if it is malformed."""
    from cryptography.x509 import load_der_x509_certificate  # noqa: PLC0415

    return _tried(lambda: load_der_x509_certificate(der))


def subject(der: bytes) -> str:
    """The subject's name, as in `C=DE, CN=zpp`."""
    return _name(load(der), "subject")


def issuer(der: bytes) -> str:
    """The issuer's name."""
    return _name(load(der), "issuer")


def _name(certificate: Any | None, which: str) -> str:
    def text() -> str:
        return ", ".join(part.rfc4514_string() for part in getattr(certificate, which).rdns)

    return (certificate and _tried(text)) or UNREADABLE_NAME


def signed_part(der: bytes) -> bytes:
    """What the certificate's issuer signed (RFC 5280, 4.1.1.1); b'' if it is malformed."""
    certificate = load(der)
    return certificate.tbs_certificate_bytes if certificate else b""


def is_elliptic(der: bytes) -> bool:
    """Whether its key is one of an elliptic curve."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey  # noqa: PLC0415

    return isinstance(_public_key(der), EllipticCurvePublicKey)


def _public_key(der: bytes) -> Any | None:
    certificate = load(der)
    return _tried(certificate.public_key) if certificate else None


def is_issued_by(der: bytes, other: bytes) -> bool:
    """Whether a certificate names another as its issuer, and is signed by the other's key."""
    certificate, by = load(der), load(other)
    if certificate is None or by is None:
        return False

    def check() -> bool:
        certificate.verify_directly_issued_by(by)  # raises if not
        return True

    return bool(_tried(check))


def signer_of(signed: SignedData) -> bytes | None:
    """The certificate of the signer, if the signature has it."""
    for der in signed.certificates:
        try:
            if pkcs7.issuer_and_serial(der) == signed.signer:
                return der
        except (ValueError, IndexError):
            continue
    return None


def verifies(signed: SignedData, certificate: bytes) -> bool:
    """Whether the signature is one of the certificate's key, over this content."""
    algorithm = signed.signer_algorithm
    if algorithm.startswith("OID"):
        return False
    digest = hashlib.new(algorithm, signed.content).digest()
    if signed.attributes and digest != signed.message_digest:
        return False
    message = signed.attributes or signed.content
    key = _public_key(certificate)
    return bool(_tried(lambda: _check(key, signed.signature, message, algorithm)))


def _check(key: Any | None, signature: bytes, message: bytes, algorithm: str) -> bool:
    """Whether it is a key of RSA or ECDSA; raises what `cryptography` does if it did not sign."""
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa  # noqa: PLC0415

    digest = getattr(hashes, algorithm.upper())()
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, message, padding.PKCS1v15(), digest)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, message, ec.ECDSA(digest))
    else:
        return False
    return True
