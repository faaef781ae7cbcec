"""The QEMU Machine Protocol: commands to a running QEMU (QEMU's docs/interop/qmp-spec)."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

_TIME_LIMIT = 30.0  # seconds


class QmpError(Exception):
    """QEMU refused a command, or has ended."""


class Qmp:
    """A connection to the socket of `-qmp unix:PATH,server=on,wait=off`. Raises QmpError."""

    def __init__(self, path: Path) -> None:
        self.events: list[str] = []  # names, in order
        self._socket = _connected(path)
        self._lines = self._socket.makefile("r", encoding="utf-8")
        self._next()
        self.command("qmp_capabilities")

    def command(self, name: str, **arguments: object) -> Any:
        """The result of a command."""
        message = json.dumps({"execute": name, "arguments": arguments})
        try:
            self._socket.sendall(message.encode() + b"\n")
        except OSError as error:
            raise QmpError(f"{name}: {error.strerror}") from None
        while True:
            answer = self._next()
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise QmpError(f"{name}: {answer['error'].get('desc', answer['error'])}")

    def _next(self) -> dict[str, Any]:
        try:
            line = self._lines.readline()
            message: dict[str, Any] = json.loads(line)
        except (OSError, ValueError):
            raise QmpError("QEMU closed the connection") from None
        if "event" in message:
            self.events.append(message["event"])
        return message

    def close(self) -> None:
        """Close the connection."""
        self._lines.close()
        self._socket.close()


def _connected(path: Path) -> socket.socket:
    """A connection to the socket, as soon as QEMU has made it."""
    # the address of a socket has at most 107 bytes, and a path below the folder's link is short
    folder = os.open(path.parent, os.O_RDONLY)
    short = Path(f"/proc/self/fd/{folder}")
    address = str(short / path.name if short.exists() else path)
    end = time.monotonic() + _TIME_LIMIT
    try:
        while True:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(_TIME_LIMIT)
            try:
                connection.connect(address)
            except OSError as error:
                connection.close()
                if time.monotonic() >= end:
                    raise QmpError(f"{path}: {error.strerror}") from None
                time.sleep(0.05)
            else:
                return connection
    finally:
        os.close(folder)
