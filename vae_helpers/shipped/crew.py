"""Who trains several models at once on this machine: processes, each of which may be killed.

A function with its arguments gives a future of the standard library. Nothing of these messages, which
Python's pickle makes, is ever stored.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from tqdm import tqdm

from vae_helpers.numerics._validate import as_count

ATTEMPTS = 4  # for a task whose process is killed; as many as Dask makes by default


class LocalCrew:
    """Processes of this machine, each with a thread that waits for it.

    A process is a pool of its own. In a common pool, and in joblib's, one process that is killed ends
    all: each would lose its task.

    Args:
        workers: how many; all cores by default.

    Attributes:
        lost: what a future raises when its process was killed again and again.

    Raises:
        TypeError, ValueError: not a whole number of at least 1.
    """

    lost = BrokenProcessPool

    def __init__(self, workers: int | None = None) -> None:
        self._workers = as_count("workers", (os.cpu_count() or 1) if workers is None else workers)
        self._closed = False
        self._context = multiprocessing.get_context("spawn")  # a fork may inherit a lock that is held
        self._end, self._lifeline = self._context.Pipe(duplex=False)
        self._pools: SimpleQueue[ProcessPoolExecutor] = SimpleQueue()
        for _ in range(self._workers):
            self._pools.put(self._new_pool())
        self._threads = ThreadPoolExecutor(self._workers, initializer=_shield)

    def slots(self) -> int:
        """How many tasks it can work on at once."""
        return self._workers

    def submit(self, name: str, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Starts a task; `name` is for the eyes of a cluster's owner."""
        return self._threads.submit(self._do, work, *arguments)

    def close(self) -> None:
        """Ends the processes, whatever they are doing."""
        self._closed = True
        self._lifeline.close()
        self._threads.shutdown(cancel_futures=True)
        while not self._pools.empty():
            self._pools.get().shutdown()
        self._end.close()

    def _do(self, work: Callable[..., Any], *arguments: Any) -> Any:
        pool = self._pools.get()  # as many as threads
        try:
            for attempt in range(ATTEMPTS):
                try:
                    return pool.submit(work, *arguments).result()
                except BrokenProcessPool:
                    pool.shutdown()
                    pool = self._new_pool()
                    if self._closed or attempt == ATTEMPTS - 1:
                        raise
        finally:
            self._pools.put(pool)

    def _new_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, self._context, initializer=_hang_on, initargs=(self._end,))


def _shield() -> None:
    """Keeps Ctrl-C, which is for the main thread, from this one and from the processes that it will start."""
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _hang_on(end: Connection) -> None:
    """Ends this process when the other end of the line is closed, or its owner dies, but not by Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tqdm.set_lock(threading.RLock())  # its own is shared by processes, and outlives one that is killed

    def watch() -> None:
        try:
            end.recv_bytes()
        except (EOFError, OSError):
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
