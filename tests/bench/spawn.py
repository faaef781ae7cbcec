"""Runs one command and prints its seconds, CPU seconds and peak memory (KiB), or `late`.

    spawn.py SECONDS COMMAND…

A process of its own, as small as can be: a child's peak memory is never reported lower than
that of the process that started it.
"""

from __future__ import annotations

import os
import signal
import sys
import time


def main() -> int:
    limit, command = int(sys.argv[1]), sys.argv[2:]
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    started = time.monotonic()
    child = os.posix_spawnp(command[0], command, os.environ, file_actions=silent, setpgroup=0)
    late = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal late
        late = True
        os.killpg(child, signal.SIGKILL)

    for number in (signal.SIGALRM, signal.SIGTERM):
        signal.signal(number, stop)
    signal.alarm(limit)
    _, status, usage = os.wait4(child, 0)
    signal.alarm(0)
    seconds = time.monotonic() - started
    if late:
        print("late")
        return 0
    print(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
