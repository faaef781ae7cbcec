"""Three threads that write or read a device while the caller prepares the next piece."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Generic, TypeVar

from efi_image.flash.chunker import PIECE, aligned
from efi_image.io.deferred_signals import deferred_signals

WORKERS = 3  # while two compute checksums, the third keeps the device busy
BUFFERS = WORKERS + 1
_MAX_PENDING = 4 * WORKERS

T = TypeVar("T")
R = TypeVar("R")


class WorkerPool(Generic[R]):
    """Runs jobs in threads, within a `with` block. Jobs start, and results come, in their order.

    After a job has failed, no other job starts, and its exception comes out of every call that
    has to wait. When the block ends, jobs that run are finished and the others are dropped.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(WORKERS, "flash")
        self._pending: deque[tuple[Future[R], memoryview | None]] = deque()
        self._results: deque[R] = deque()
        self._failure: BaseException | None = None  # set by a worker
        self._error: BaseException | None = None  # of the first job, in their order, that failed
        self._free = [aligned(PIECE) for _ in range(BUFFERS)]

    def __enter__(self) -> WorkerPool[R]:
        return self

    def __exit__(self, *_: object) -> None:
        with deferred_signals():  # no job may write while the caller cleans up
            self._executor.shutdown(wait=True, cancel_futures=True)

    def buffer(self) -> memoryview:
        """PIECE bytes, as soon as some are free. Hand them to `submit` or `release`."""
        while not self._free:
            self._wait_for_first()
        return self._free.pop()

    def release(self, buffer: memoryview) -> None:
        """Give a buffer back without a job."""
        self._free.append(buffer)

    def submit(self, job: Callable[[], R], buffer: memoryview | None = None) -> None:
        """Run a job; its buffer is free again when the job is done."""
        while len(self._pending) >= _MAX_PENDING:
            self._wait_for_first()
        self._pending.append((self._executor.submit(self._run, job), buffer))

    def results(self) -> Iterator[R]:
        """The results that are known by now."""
        while self._results:
            yield self._results.popleft()

    def drain(self) -> Iterator[R]:
        """All results; waits for all jobs."""
        while self._pending:
            self._wait_for_first()
            yield from self.results()
        yield from self.results()

    def map(self, job: Callable[[T, memoryview], R], items: Iterable[T]) -> Iterator[R]:
        """The result of `job(item, buffer)` for each item."""
        for item in items:
            buffer = self.buffer()
            self.submit(partial(job, item, buffer), buffer)
            yield from self.results()
        yield from self.drain()

    def _run(self, job: Callable[[], R]) -> R:
        """In a worker."""
        if self._failure is not None:
            raise self._failure
        try:
            return job()
        except BaseException as error:
            self._failure = error
            raise

    def _wait_for_first(self) -> None:
        future, buffer = self._pending[0]
        self._error = self._error or future.exception()
        if self._error is not None:
            raise self._error
        self._pending.popleft()
        self._results.append(future.result())
        if buffer is not None:
            self._free.append(buffer)
