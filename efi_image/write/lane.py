"""A thread that does work in the order given, while the caller prepares more."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from efi_image.write.pieces import PIECE, aligned

BUFFERS = 3
_MOST = 4 * BUFFERS  # jobs that wait


class Lane:
    """Runs jobs one after the other in a thread of its own.

    A job's exception comes out of a later `buffer`, `submit` or `drain`; after it, or when the
    caller's block ends otherwise than well, jobs that wait are dropped.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._free = [aligned(PIECE) for _ in range(BUFFERS)]
        self._pending: deque[tuple[Future[None], memoryview | None]] = deque()

    def buffer(self) -> memoryview:
        """PIECE bytes, once some are free; they go to `submit`."""
        while not self._free:
            self.first()
        return self._free.pop()

    def release(self, buffer: memoryview) -> None:
        """The buffer is free again, without a job."""
        self._free.append(buffer)

    def submit(self, job: Callable[[], None], buffer: memoryview | None = None) -> None:
        """Do this after all that was submitted before; the buffer is free again then."""
        while len(self._pending) >= _MOST:
            self.first()
        self._pending.append((self._pool.submit(job), buffer))

    def drain(self) -> None:
        """Wait until all is done."""
        while self._pending:
            self.first()

    def first(self) -> None:
        """Wait for the first job that is not done; its buffer is free then."""
        future, buffer = self._pending[0]
        future.result()
        self._pending.popleft()
        if buffer is not None:
            self._free.append(buffer)

    def stop(self) -> None:
        """Finish the job that runs, and drop the others."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Lane:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
