"""The thread that writes: order, errors, and signals while it is waited for."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

import pytest

from efi_image.write.lane import BUFFERS, Lane
from efi_image.write.undisturbed import undisturbed


def test_jobs_are_done_in_their_order_in_another_thread() -> None:
    done: list[tuple[int, bool]] = []

    def job(number: int) -> Callable[[], None]:
        return lambda: done.append((number, threading.current_thread() is threading.main_thread()))

    with Lane() as lane:
        for number in range(40):
            lane.submit(job(number))
        lane.drain()
    assert done == [(number, False) for number in range(40)]


def test_buffers_come_back_when_their_jobs_are_done() -> None:
    with Lane() as lane:
        seen = set()
        for _ in range(5 * BUFFERS):
            buffer = lane.buffer()
            seen.add(id(buffer))
            lane.submit(lambda: None, buffer)
        lane.drain()
    assert len(seen) <= BUFFERS


def test_nothing_is_done_after_an_error() -> None:
    """A medium that failed is not written on; and who asks again is told again."""
    done: list[int] = []
    started = threading.Event()

    def fails() -> None:
        started.wait()
        raise OSError(5, "fails")

    with Lane() as lane:
        lane.submit(fails)
        lane.submit(lambda: done.append(1))
        started.set()
        for _ in range(2):
            with pytest.raises(OSError, match="fails"):
                lane.drain()
    assert not done


def test_jobs_that_wait_are_dropped() -> None:
    done: list[int] = []
    running, may_end = threading.Event(), threading.Event()

    def first() -> None:
        running.set()
        may_end.wait()
        done.append(1)

    def give_up(lane: Lane) -> None:
        lane.submit(first)
        lane.submit(lambda: done.append(2))
        running.wait()
        threading.Timer(0.05, may_end.set).start()
        raise InterruptedError

    with pytest.raises(InterruptedError), Lane() as lane:
        give_up(lane)
    assert done == [1]


def test_a_signal_does_not_end_the_wait_for_a_running_job() -> None:
    """The second Ctrl-C: while it runs, nobody may clear up what it writes."""
    done: list[int] = []
    may_end = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def job() -> None:
        may_end.wait()
        done.append(1)

    def interrupt() -> None:
        end = time.monotonic() + 60
        while signal.getsignal(signal.SIGINT) is before and time.monotonic() < end:
            time.sleep(0.001)  # until it waits
        if signal.getsignal(signal.SIGINT) is not before:
            signal.raise_signal(signal.SIGINT)
            time.sleep(0.1)  # time for the wait to end
        may_end.set()

    def leave(lane: Lane) -> None:
        lane.submit(job)
        threading.Thread(target=interrupt).start()

    with pytest.raises(KeyboardInterrupt), Lane() as lane:
        leave(lane)
    assert done == [1]


def test_a_signal_is_held_back() -> None:
    order = []
    before = signal.getsignal(signal.SIGINT)

    def short() -> None:
        signal.raise_signal(signal.SIGINT)
        order.append("done")

    with pytest.raises(KeyboardInterrupt), undisturbed():
        short()
    assert order == ["done"]
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_hold_nothing_back() -> None:
    seen = []

    def work() -> None:
        with undisturbed():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]
