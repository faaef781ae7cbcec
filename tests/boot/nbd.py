"""An NBD server that simulates faulty USB sticks, for QEMU's USB storage.

Protocol: the NBD project's doc/proto.md, with fixed newstyle negotiation and simple replies.
"""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"NBDMAGIC"
OPTION = b"IHAVEOPT"
REPLY_MAGIC = 0x3E889045565A9
FIXED_NEWSTYLE, NO_ZEROES = 1, 2
OPT_EXPORT_NAME, OPT_ABORT, OPT_INFO, OPT_GO = 1, 2, 6, 7
REP_ACK, REP_INFO, REP_UNSUPPORTED = 1, 3, 1 << 31 | 1
HAS_FLAGS, SEND_FLUSH = 1, 4
READ, WRITE, DISCONNECT, FLUSH = 0, 1, 2, 3
REQUEST = struct.Struct(">IHHQQI")
SIMPLE_REPLY = 0x67446698
EINVAL = 22


@dataclass(frozen=True)
class Fault:
    """The faults of a stick that reports `size` bytes.

    Its real capacity is `real_size`, after which addresses wrap around (0: no wrap). The byte at
    `wrong_byte` is read back with one bit flipped (-1: none).
    """

    size: int
    real_size: int = 0
    wrong_byte: int = -1


class FaultyStick:
    """Serves one stick on a Unix socket, in a thread."""

    def __init__(self, path: Path, fault: Fault) -> None:
        self.fault = fault
        self.data = bytearray(fault.real_size or fault.size)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen(1)
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        with suppress(OSError, EOFError):
            connection, _ = self._socket.accept()
            with connection:
                if self._negotiate(connection):
                    while self._answer(connection):
                        pass

    # ---- negotiation

    def _negotiate(self, connection: socket.socket) -> bool:
        connection.sendall(MAGIC + OPTION + struct.pack(">H", FIXED_NEWSTYLE | NO_ZEROES))
        (flags,) = struct.unpack(">I", receive(connection, 4))
        size = struct.pack(">QH", self.fault.size, HAS_FLAGS | SEND_FLUSH)
        while True:
            _, option, length = struct.unpack(">8sII", receive(connection, 16))
            receive(connection, length)
            if option == OPT_EXPORT_NAME:
                connection.sendall(size + (b"" if flags & NO_ZEROES else bytes(124)))
                return True
            if option in {OPT_GO, OPT_INFO}:
                send_reply(connection, option, REP_INFO, struct.pack(">H", 0) + size)
            known = option in {OPT_GO, OPT_INFO, OPT_ABORT}
            send_reply(connection, option, REP_ACK if known else REP_UNSUPPORTED)
            if option in {OPT_GO, OPT_ABORT}:
                return bool(option == OPT_GO)

    # ---- requests

    def _answer(self, connection: socket.socket) -> bool:
        _, _, kind, handle, offset, length = REQUEST.unpack(receive(connection, REQUEST.size))
        data, error = b"", 0
        if kind == WRITE:
            self._write(offset, receive(connection, length))
        elif kind == READ:
            data = self._read(offset, length)
        elif kind == DISCONNECT:
            return False
        elif kind != FLUSH:
            error = EINVAL
        connection.sendall(struct.pack(">IIQ", SIMPLE_REPLY, error, handle) + data)
        return True

    def _write(self, offset: int, data: bytes) -> None:
        for place, start, end in self._parts(offset, len(data)):
            self.data[place : place + end - start] = data[start:end]

    def _read(self, offset: int, length: int) -> bytes:
        parts = self._parts(offset, length)
        found = bytearray(b"".join(self.data[p : p + end - start] for p, start, end in parts))
        if offset <= self.fault.wrong_byte < offset + length:
            found[self.fault.wrong_byte - offset] ^= 1
        return bytes(found)

    def _parts(self, offset: int, length: int) -> list[tuple[int, int, int]]:
        """Maps a request to the real capacity: place in the data, start and end in the request."""
        found, done = [], 0
        while done < length:
            place = (offset + done) % len(self.data)
            count = min(length - done, len(self.data) - place)
            found.append((place, done, done + count))
            done += count
        return found


def receive(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        more = connection.recv(count - len(found))
        if not more:
            raise EOFError
        found += more
    return found


def send_reply(connection: socket.socket, option: int, kind: int, data: bytes = b"") -> None:
    connection.sendall(struct.pack(">QIII", REPLY_MAGIC, option, kind, len(data)) + data)
