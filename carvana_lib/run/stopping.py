"""Stop between two steps, never within one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

RESUME = "--resume goes on from there (in a notebook: fit(..., resume=True))"


@contextmanager
def interrupt_on_sigterm() -> Iterator[None]:
    """SIGTERM does as Ctrl-C does, so that what was begun is put right again and one line said."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """An event that Ctrl-C, a stopped notebook cell or SIGTERM sets.

    A second Ctrl-C interrupts at once. Only the main thread can catch signals; elsewhere the event
    is never set.
    """
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    def stop(number: int, frame: object) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt(f"stopped at once, not saved since the last checkpoint; {RESUME}")
        stopped.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
