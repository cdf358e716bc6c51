"""Stop between two steps, never within one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

RESUME = "--resume goes on from there (in a notebook: fit(..., resume=True))"


@contextmanager
def _handled(handler: Callable[[int, object], None], *numbers: int) -> Iterator[None]:
    """Signals go to `handler`. Only the main thread can catch signals: in another one nothing changes."""
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, handler) for number in numbers} if main else {}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextmanager
def interrupt_on_sigterm() -> Iterator[None]:
    """SIGTERM does as Ctrl-C does: it raises KeyboardInterrupt, so that files are put in order before the end."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    with _handled(stop, signal.SIGTERM):
        yield


@contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """An event that Ctrl-C, a stopped notebook cell or SIGTERM sets; a second Ctrl-C interrupts at once."""
    stopped = threading.Event()

    def stop(number: int, frame: object) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt(f"stopped at once, not saved since the last checkpoint; {RESUME}")
        stopped.set()

    with _handled(stop, signal.SIGINT, signal.SIGTERM):
        yield stopped
