"""Work on a thread of its own: what must not be interrupted, and what must not be waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import TypeVar

__all__ = ["briefly", "uninterrupted"]

T = TypeVar("T")


def uninterrupted(work: Callable[[], T]) -> T:
    """Return what `work` returns, and let it end even if a signal raises in the main thread, as a task's time-out does."""
    if threading.current_thread() is not threading.main_thread():
        return work()
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is waited for
            done.set_exception(error)

    threading.Thread(target=copy_context().run, args=(run,), name="dynamics-sign-in").start()
    return done.result()


def briefly(work: Callable[[], None], seconds: float) -> None:
    """Do something that raises nothing and wait for it so many seconds at most; then it goes on by itself."""
    doing = threading.Thread(target=copy_context().run, args=(work,), name="dynamics-aside", daemon=True)
    doing.start()
    doing.join(seconds)
