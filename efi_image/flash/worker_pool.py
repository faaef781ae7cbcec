"""Threads that do work side by side, while the caller prepares more."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from efi_image.flash.chunker import PIECE, aligned
from efi_image.flash.deferred_signals import undisturbed

WORKERS = 3  # a device that has the next piece at hand does not rest, while two compute digests
BUFFERS = WORKERS + 1
_MOST = 4 * WORKERS  # jobs that wait

T = TypeVar("T")


class _Task:
    """A job, and what is done with its result."""

    def __init__(
        self, job: Callable[[], Any], done: Callable[[Any], None], buffer: memoryview | None
    ) -> None:
        self._job = job
        self._done = done
        self._result: Any = None
        self._end: SimpleQueue[BaseException | None] = SimpleQueue()
        self.buffer = buffer

    def run(self) -> bool:
        """Do the job; whether that went well."""
        error: BaseException | None = None
        try:
            self._result = self._job()
        except BaseException as raised:
            error = raised
        self._end.put(error)
        return error is None

    def error(self) -> BaseException | None:
        """Wait for the job's end; what it raised."""
        return self._end.get()

    def finish(self) -> None:
        """Do what is to be done with the result."""
        self._done(self._result)


class Lane:
    """Runs jobs in threads of its own, within a `with` block: they begin in the order given.

    What is done with their results is done in that order in the caller's thread, while it waits.
    A job's exception comes out of every later `buffer`, `submit`, `first` or `drain` that has to
    wait. Jobs that have not begun then are dropped, as are those when the block ends.
    """

    def __init__(self) -> None:
        self._threads = [Thread(target=self._work, daemon=True) for _ in range(WORKERS)]
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._pending: deque[_Task] = deque()
        self._error: BaseException | None = None
        self._free = [aligned(PIECE) for _ in range(BUFFERS)]

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            if not task.run():
                self._drop()

    def _drop(self) -> None:
        """Forget all that has not begun, and let the threads end."""
        with suppress(Empty):
            while True:
                self._tasks.get_nowait()
        for _ in self._threads:
            self._tasks.put(None)

    def buffer(self) -> memoryview:
        """PIECE bytes, once some are free; they go to `submit`."""
        while not self._free:
            self.first()
        return self._free.pop()

    def release(self, buffer: memoryview) -> None:
        """The buffer is free again, without a job."""
        self._free.append(buffer)

    def submit(
        self, job: Callable[[], T], done: Callable[[T], None], buffer: memoryview | None = None
    ) -> None:
        """Do this, and then `done` with its result; the buffer is free again after that."""
        while len(self._pending) >= _MOST:
            self.first()
        task = _Task(job, done, buffer)
        self._pending.append(task)
        self._tasks.put(task)

    def drain(self) -> None:
        """Wait until all is done."""
        while self._pending:
            self.first()

    def first(self) -> None:
        """Wait for the first job that is not done."""
        if self._error is None:
            self._error = self._pending[0].error()
        if self._error is not None:
            raise self._error
        task = self._pending.popleft()
        task.finish()
        if task.buffer is not None:
            self._free.append(task.buffer)

    def stop(self) -> None:
        """Finish the jobs that run, and drop the others."""
        with undisturbed():  # they may not write on while others clear up
            self._drop()
            for thread in self._threads:
                thread.join()

    def __enter__(self) -> Lane:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
