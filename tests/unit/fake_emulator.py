"""A fake emulator: a real process that plays a guest."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from efi_image.emulator.base import End, ExitReason, Launch
from efi_image.emulator.request import RunRequest
from efi_image.errors import ZppError

_PLAYER = """
import json, pathlib, signal, subprocess, sys, time
script = json.loads(sys.argv[1])
if script["deaf"]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if script["child"]:
    subprocess.Popen([sys.executable, "-c", script["child"]])
pathlib.Path("emulator.log").write_text(script["log"])
with open("serial.tty" if script["console"] else "serial", "r+b" if script["console"] else "wb",
          buffering=0) as serial:
    for piece in script["pieces"]:
        serial.write(piece.encode("latin-1"))
        time.sleep(script["pause"])
    while script["answers"] and script["console"]:
        word = serial.read(1024)
        serial.write(b"<" + word + b">\\r\\n")
        if b"off" in word:
            break
print("the fake emulator ends", flush=True)
time.sleep(script["linger"])
sys.exit(script["status"])
"""


@dataclass(frozen=True)
class FakeEmulator:
    """Writes `pieces` to the serial port, lingers, and ends with `status` (0: power-off)."""

    pieces: tuple[bytes, ...] = ()
    log: str = ""
    status: int = 0
    pause: float = 0.0  # seconds after each piece
    linger: float = 0.0  # seconds after the last piece
    deaf: bool = False  # to SIGTERM
    answers: bool = False  # repeats what was typed, until that contains `off`
    child: str = ""  # Python code of a child process
    failure: End | None = None  # what a status other than 0 means; None: a failure
    refusal: ZppError | None = None  # of every request

    @property
    def name(self) -> str:
        return "fake"

    @property
    def description(self) -> str:
        return "no emulator"

    @property
    def default_model(self) -> str:
        return "none"

    def check(self, request: RunRequest) -> None:
        if self.refusal:
            raise self.refusal

    def prepare(self, request: RunRequest, work: Path) -> Launch:
        (work / "image").symlink_to(request.image.absolute())
        script = {
            "pieces": [piece.decode("latin-1") for piece in self.pieces],
            "log": self.log,
            "status": self.status,
            "pause": self.pause,
            "linger": self.linger,
            "deaf": self.deaf,
            "answers": self.answers,
            "console": request.console,
            "child": self.child,
        }
        return Launch((sys.executable, "-c", _PLAYER, json.dumps(script)), work)

    def end(self, status: int, log: str) -> End:
        if status:
            return self.failure or End(None)
        return End(None if "broken" in log else ExitReason.POWER_OFF)

    def problems(self, log: str) -> tuple[str, ...]:
        return tuple(line for line in log.splitlines() if "FAIL" in line)

    def unusual(self, log: str) -> tuple[str, ...]:
        return tuple(line for line in log.splitlines() if "as always" not in line)
