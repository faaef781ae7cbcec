"""Mounts that a test makes for itself alone."""

from __future__ import annotations

import subprocess

import pytest

# In a chroot only root may have a mount namespace, and its mounts are seen outside: unmount them.
_WAYS = (("--mount",), ("--map-root-user", "--mount"), ("--mount", "--propagation", "unchanged"))


def own_mounts() -> tuple[str, ...]:
    """A prefix that gives a command its own mounts; skips the test where nobody may have them.

    The command unmounts what it mounted.
    """
    errors = []
    for way in _WAYS:
        command = ["unshare", *way, "true"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return ("unshare", *way)
        errors.append(done.stderr.strip())
    pytest.skip(f"this machine lets this user have no mount namespace: {errors}")
