"""Fuzzes one parser with atheris (libFuzzer), bounded in time and memory.

    fuzz.py TARGET [CORPUS_FOLDER] [-runs=N] [-max_total_time=SECONDS] [any option of libFuzzer]

Without -runs or -max_total_time it runs until interrupted. For a bug it writes a file crash-…,
timeout-… or oom-…, which `fuzz.py TARGET FILE` runs again.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import atheris

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent), str(TESTS / "unit")]

with atheris.instrument_imports(include=["efi_image"]):
    from targets import TARGETS, refused

BOUNDS = ("-timeout=20", "-rss_limit_mb=1024", "-max_len=65536", "-print_final_stats=0")


def main() -> int:
    if sys.argv[1:] == ["--list"]:
        print(*TARGETS)
        return 0
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        print(f"usage: fuzz.py {'|'.join(TARGETS)} [corpus] [options]", file=sys.stderr)
        return 2
    target, options = TARGETS[sys.argv[1]], sys.argv[2:]

    def one(data: bytes) -> None:
        refused(target, data)

    seeds = Path(tempfile.mkdtemp(prefix="zpp-fuzz-"))
    remove_at_the_end(seeds)
    for number, seed in enumerate(target.seeds()):
        (seeds / str(number)).write_bytes(seed)
    corpus = [] if any(Path(word).is_file() for word in options) else [str(seeds)]
    atheris.Setup([sys.argv[0], *BOUNDS, *options, *corpus], one)
    atheris.Fuzz()
    return 0


def remove_at_the_end(folder: Path) -> None:
    """Remove the folder when this process ends: libFuzzer, or a kill, ends it without Python."""
    waiting, alive = os.pipe()  # `alive` is open as long as this process lives
    if os.fork():
        os.close(waiting)
        return
    os.setsid()  # no Ctrl-C
    for descriptor in (0, 1, 2, alive):
        os.close(descriptor)
    os.read(waiting, 1)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
