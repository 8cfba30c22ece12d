"""Ctrl-C and SIGTERM end a program in one line, and its workers end with it, even if it is killed."""

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import cache, wraps
from types import FrameType
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)
PATIENCE = 1.0
"""Seconds after which a second signal ends the program at once; one key press may arrive twice."""
interrupted = threading.Event()
"""Whether the program is on its way out because of a signal."""


class Interrupted(BaseException):
    """The program was asked to end: no error, so nobody who handles errors handles it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def interruptible(main: Callable[[], Any]) -> Callable[..., Any]:
    """A program that ends in one line, with 130 or 143, when it is interrupted or terminated."""

    @wraps(main)
    def guarded(*arguments: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            return main(*arguments)
        interrupted.clear()
        handle = _handler()
        before = {number: signal.signal(number, handle) for number in SIGNALS}
        try:
            return main(*arguments)
        except Interrupted as end:
            print("interrupted; the same command goes on", file=sys.stderr)
            raise SystemExit(128 + end.number) from None
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    return guarded


def _handler() -> Callable[[int, FrameType | None], None]:
    began = time.monotonic()

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal began
        if not interrupted.is_set():
            interrupted.set()
            began = time.monotonic()
            raise Interrupted(number)
        if time.monotonic() > began + PATIENCE:
            os._exit(128 + number)

    return handle


def mortal() -> dict[str, Any]:
    """Settings of joblib's workers that let them end with this process."""
    return {"initializer": end_with, "initargs": (os.getpid(),)}


@cache
def end_with(process: int) -> None:
    """End this worker, and at once, when that process is gone: one that was killed cannot end its workers.

    The worker no longer hears Ctrl-C, which a terminal sends to all: whoever started it ends it.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_after, args=(process,), daemon=True).start()


def _end_after(process: int) -> NoReturn:
    try:
        if hasattr(os, "pidfd_open"):  # Linux tells at once
            select.select([os.pidfd_open(process)], [], [])
        else:
            while True:
                os.kill(process, 0)
                time.sleep(PATIENCE)
    except ProcessLookupError:
        pass
    os._exit(1)
