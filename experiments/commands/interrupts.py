"""Ctrl-C and SIGTERM end a program in one line, and its workers end with it, even if it is killed."""

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from signal import SIGINT, SIGTERM
from types import FrameType
from typing import Any, NoReturn

PATIENCE = 1.0
"""Seconds after which a second signal ends the program at once; one key press may arrive twice."""
interrupted = threading.Event()
"""Whether the program is on its way out because of a signal."""


class Interrupted(BaseException):
    """The program was asked to end: no error, so nobody who handles errors handles it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def interruptible(main: Callable[..., Any]) -> Callable[..., Any]:
    """A program that ends in one line, with 130 or 143, when it is interrupted or terminated."""

    @wraps(main)
    def guarded(*arguments: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():  # others get no signals
            return main(*arguments)
        interrupted.clear()
        try:
            with _listening():
                return main(*arguments)
        except Interrupted as end:
            print("interrupted; the same command goes on", file=sys.stderr)
            raise SystemExit(128 + end.number) from None

    return guarded


@contextmanager
def _listening() -> Iterator[None]:
    """Inside, both signals raise `Interrupted`, and processes that are started do not hear Ctrl-C.

    A terminal sends it to all of them, but this one ends them. They inherit that it is blocked; so that it may be,
    a thread waits for it and passes it on.
    """
    main, over, pressed = threading.get_ident(), threading.Event(), threading.Event()
    began = 0.0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal began
        number = SIGINT if pressed.is_set() else number
        if not interrupted.is_set():
            interrupted.set()
            began = time.monotonic()
            raise Interrupted(number)
        if time.monotonic() > began + PATIENCE:
            os._exit(128 + number)

    def listen() -> None:
        while signal.sigwait({SIGINT}) and not over.is_set():
            pressed.set()
            signal.pthread_kill(main, SIGTERM)

    handlers = {number: signal.signal(number, handle) for number in (SIGINT, SIGTERM)}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {SIGINT})
    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield
    finally:
        over.set()
        signal.pthread_kill(listener.ident or 0, SIGINT)
        listener.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def mortal() -> dict[str, Any]:
    """Settings of joblib's workers that let them end with this process."""
    return {"initializer": end_with, "initargs": (os.getpid(),)}


@cache
def end_with(process: int) -> None:
    """End this worker, and at once, when that process is gone: one that was killed cannot end its workers."""
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
