"""A thread that does work in the order given, while the caller prepares more."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread

from efi_image.write.pieces import PIECE, aligned
from efi_image.write.undisturbed import undisturbed

BUFFERS = 3
_MOST = 4 * BUFFERS  # jobs that wait

_Job = Callable[[], None]


class Lane:
    """Runs jobs one after the other in a thread of its own, within a `with` block.

    A job's exception comes out of every later `buffer`, `submit`, `first` or `drain` that has to
    wait; jobs behind it are dropped, and so are those that wait when the block ends.
    """

    def __init__(self) -> None:
        self._thread = Thread(target=self._work, daemon=True)
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._ends: SimpleQueue[BaseException | None] = SimpleQueue()  # of jobs, in their order
        self._error: BaseException | None = None
        self._stopped = False
        self._free = [aligned(PIECE) for _ in range(BUFFERS)]
        self._pending: deque[memoryview | None] = deque()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None and not self._stopped:
            try:
                job()
            except BaseException as error:
                self._ends.put(error)
                return
            self._ends.put(None)

    def buffer(self) -> memoryview:
        """PIECE bytes, once some are free; they go to `submit`."""
        while not self._free:
            self.first()
        return self._free.pop()

    def release(self, buffer: memoryview) -> None:
        """The buffer is free again, without a job."""
        self._free.append(buffer)

    def submit(self, job: _Job, buffer: memoryview | None = None) -> None:
        """Do this after all that was submitted before; the buffer is free again then."""
        while len(self._pending) >= _MOST:
            self.first()
        self._pending.append(buffer)
        self._jobs.put(job)

    def drain(self) -> None:
        """Wait until all is done."""
        while self._pending:
            self.first()

    def first(self) -> None:
        """Wait for the first job that is not done; its buffer is free then."""
        if self._error is None:
            self._error = self._ends.get()
        if self._error is not None:
            raise self._error
        buffer = self._pending.popleft()
        if buffer is not None:
            self._free.append(buffer)

    def stop(self) -> None:
        """Finish the job that runs, and drop the others."""
        with undisturbed():  # it may not write on while others clear up
            self._stopped = True
            self._jobs.put(None)
            self._thread.join()

    def __enter__(self) -> Lane:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
