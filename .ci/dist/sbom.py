"""The SBOM of the wheel: SPDX 2.3 as JSON (the SPDX Specification 2.3, clauses 6 to 11)."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "uefi"))

from edk2 import RELEASE as EDK2  # noqa: E402

NAME = "zpp-image"
LICENCE = "MIT"
EDK2_LICENCE = "BSD-2-Clause-Patent"
# programs that contain other code than zpp's own
WITH_EDK2 = {"ZppBoot.efi", "ZppDxe.efi"}
PROGRAMS = "SPDXRef-programs"


def write_sbom(path: Path, data: Path) -> None:
    """Describe the wheel, the files in `data`, EDK2, and the Python packages that are needed."""
    wheel = importlib.metadata.distribution(NAME)
    files = [_file(file, data) for file in sorted(data.rglob("*")) if file.is_file()]
    digest = hashlib.sha256("".join(_sha256(file) for file in files).encode()).hexdigest()
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"{NAME}-{wheel.version}",
        "documentNamespace": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}",
        "creationInfo": {"created": _date(), "creators": ["Organization: The zpp developers"]},
        "documentDescribes": ["SPDXRef-zpp-image"],
        "packages": [
            _package("zpp-image", NAME, wheel.version, f"{LICENCE} AND {EDK2_LICENCE}"),
            _programs(wheel.version, files),
            _package("edk2", "edk2", EDK2.version, EDK2_LICENCE, sha256=EDK2.sha256),
            *(_dependency(each) for each in _requirements(wheel)),
        ],
        "files": files,
        "relationships": [
            _relation("SPDXRef-zpp-image", "CONTAINS", PROGRAMS),
            *(_relation(PROGRAMS, "CONTAINS", file["SPDXID"]) for file in files),
            *(
                _relation(file["SPDXID"], "STATIC_LINK", "SPDXRef-edk2")
                for file in files
                if Path(file["fileName"]).name in WITH_EDK2
            ),
            *(
                _relation("SPDXRef-zpp-image", "DEPENDS_ON", _identifier(each.name))
                for each in _requirements(wheel)
            ),
        ],
    }
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _date() -> str:
    seconds = int(os.environ["SOURCE_DATE_EPOCH"])
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _identifier(name: str) -> str:
    """SPDX identifiers have letters, digits, `.` and `-` only."""
    return "SPDXRef-" + name.replace("_", "-")


def _requirements(wheel: importlib.metadata.Distribution) -> list[Requirement]:
    needed = [Requirement(line) for line in wheel.requires or ()]
    return [each for each in needed if "extra" not in str(each.marker or "")]


def _package(
    name: str, title: str, version: str, licence: str, sha256: str = ""
) -> dict[str, Any]:
    checksums = [{"algorithm": "SHA256", "checksumValue": sha256}] if sha256 else []
    return {
        "SPDXID": _identifier(name),
        "name": title,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": licence,
        "licenseDeclared": licence,
        "copyrightText": "NOASSERTION",
        **({"versionInfo": version} if version else {}),
        **({"checksums": checksums} if checksums else {}),
    }


def _programs(version: str, files: list[dict[str, Any]]) -> dict[str, Any]:
    """The files other than Python code, as a package with a verification code (clause 7.9)."""
    sums = sorted(file["checksums"][0]["checksumValue"] for file in files)
    code = hashlib.sha1("".join(sums).encode(), usedforsecurity=False).hexdigest()
    package = _package("programs", "zpp", version, f"{LICENCE} AND {EDK2_LICENCE}")
    return {
        **package,
        "filesAnalyzed": True,
        "packageVerificationCode": {"packageVerificationCodeValue": code},
    }


def _dependency(needed: Requirement) -> dict[str, Any]:
    """A Python package that pip installs: any version that is allowed."""
    reference = {
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceType": "purl",
        "referenceLocator": f"pkg:pypi/{needed.name}",
    }
    package = _package(needed.name, needed.name, str(needed.specifier), "NOASSERTION")
    return {**package, "externalRefs": [reference]}


def _file(path: Path, data: Path) -> dict[str, Any]:
    content, name = path.read_bytes(), path.relative_to(data).as_posix()
    licence = EDK2_LICENCE if name.endswith(".edk2") else LICENCE
    if path.name in WITH_EDK2:
        licence = f"{LICENCE} AND {EDK2_LICENCE}"
    algorithms = ("SHA1", "SHA256")  # SPDX wants SHA-1 for every file
    return {
        "SPDXID": _identifier(name.replace("/", "-")),
        "fileName": f"./efi_image/data/{name}",
        "checksums": [
            {"algorithm": a, "checksumValue": hashlib.new(a, content, usedforsecurity=False).hexdigest()}
            for a in algorithms
        ],
        "licenseConcluded": licence,
        "copyrightText": "NOASSERTION",
    }


def _sha256(file: dict[str, Any]) -> str:
    return str(file["checksums"][1]["checksumValue"])


def _relation(element: str, kind: str, related: str) -> dict[str, str]:
    return {"spdxElementId": element, "relationshipType": kind, "relatedSpdxElement": related}
