"""Asks this machine's apt for its Debian mirror and its network settings.

So one-line and deb822 sources, proxies and configuration snippets all count, and no host name
is written down here.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from efi_image.errors import MissingError

_TARGET_FORMAT = "$(REPO_URI)\t$(RELEASE)\t$(COMPONENT)\t$(LABEL)"
_FORWARDED = re.compile(r"Acquire::(https?::(Proxy|Timeout)|Check-Valid-Until|ForceIPv[46])\b")


@dataclass(frozen=True, slots=True)
class _Source:
    uri: str
    suite: str
    component: str
    label: str

    @property
    def rank(self) -> int | None:
        """0 for Debian's main archive, 1 for what looks like it, None for others."""
        scheme, _, path = self.uri.partition(":")
        if scheme in ("cdrom", "file", "copy") or self.component != "main":
            return None
        if re.search(r"[-/](security|updates|backports)$", self.suite):
            return None
        if self.label:
            return 0 if self.label == "Debian" else None
        return 1 if urlsplit(path).path.rstrip("/").endswith("/debian") else None


def _ask(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise MissingError(
            f"{command[0]} is not installed",
            hint="Bochs can be installed on Debian and its derivatives only",
        ) from None
    if done.returncode != 0:
        raise MissingError(f"{command[0]} failed: {done.stderr.strip() or done.returncode}")
    return done.stdout


def _sources(*options: str) -> list[_Source]:
    command = ("apt-get", "indextargets", *options, "--format", _TARGET_FORMAT)
    lines = _ask(*command, "Created-By: Packages").splitlines()
    return [_Source(*line.split("\t")) for line in lines]


def debian_mirror() -> str:
    """The URI of Debian's archive in apt's configuration; raises MissingError if there is none."""
    sources = _sources()  # what `apt-get update` has downloaded, with labels
    known = {source.uri for source in sources}
    for source in _sources("--no-release-info"):
        if source.uri not in known:
            sources.append(replace(source, label=""))
    ranked = [(rank, source.uri) for source in sources if (rank := source.rank) is not None]
    if not ranked:
        raise MissingError(
            "apt's configuration has no Debian mirror",
            hint="give one with --mirror URI",
        )
    return min(ranked, key=lambda pair: pair[0])[1].rstrip("/")


def network_options() -> list[str]:
    """apt's network settings, as lines of apt.conf; raises MissingError."""
    lines = _ask("apt-config", "dump").splitlines()
    return [line for line in lines if _FORWARDED.match(line) and not line.endswith('"";')]
