"""Who does the work of a sweep: processes of this machine, or the workers of a Dask cluster.

Both take a function with its arguments and give a future of the standard library. Nothing of these
messages, which Python's pickle makes, is ever stored.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from pkgutil import resolve_name
from queue import SimpleQueue
from typing import Any
from uuid import uuid4

from tqdm import tqdm

from vae_helpers.numerics._validate import as_count

ATTEMPTS = 4  # for a task whose process is killed; as many as Dask makes by default
TIMEOUT = 10  # seconds that a scheduler has to answer


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


class ClusterCrew:
    """The workers of a Dask cluster that is there already; they may come and go.

    Args:
        address: of its scheduler, such as "tcp://10.0.0.1:8786".

    Attributes:
        lost: what a future raises when its worker was killed again and again.

    Raises:
        ValueError: Dask is not installed, or nothing answers at this address.
    """

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client, KilledWorker, rpc
            from distributed.security import Security
        except ModuleNotFoundError as error:
            raise ValueError(
                f"scheduler: expected the package {error.name}; `pip install distributed` brings it"
            ) from error
        for name in ("distributed", "distributed.client"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what goes wrong is told in a line

        async def kind() -> str:
            async with rpc(address, connection_args=Security().get_connection_args("client")) as server:
                return (await asyncio.wait_for(server.identity(), TIMEOUT))["type"]

        # First by a question of our own: a `Client` that finds nobody takes long to end, and with noise.
        wanted = f"scheduler: expected the address of a Dask scheduler, got {address!r}"
        try:
            if (found := asyncio.run(kind())) != "Scheduler":
                raise ValueError(f"of a {found}")
        except (OSError, TypeError, ValueError) as error:  # nobody there; no certificate; no address
            raise ValueError(f"{wanted}: {str(error) or f'no answer in {TIMEOUT} seconds'}") from error
        self._client = Client(address, timeout=TIMEOUT, set_as_default=False)
        self._executor = self._client.get_executor(pure=False)
        self.lost = KilledWorker

    def slots(self) -> int:
        """How many tasks its workers can work on at once; 1 while there are none, which then waits.

        Raises:
            ValueError: the scheduler has gone.
        """
        try:
            return max(1, sum(self._client.nthreads().values()))
        except OSError as error:
            raise ValueError(f"scheduler: it does not answer any more: {error}") from error

    def submit(self, name: str, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Starts a task, which the scheduler's pages show by its name; the arguments are plain data."""
        path = f"{work.__module__}:{work.__qualname__}"

        # Goes over the wire as it stands, so that the scheduler, which reads all tasks, needs no PyTorch.
        def call(*given: Any) -> Any:
            return resolve_name(path)(*given)

        return self._executor.submit(call, *arguments, key=f"{name}-{uuid4().hex[:8]}")

    def close(self) -> None:
        """Forgets what has not ended; a worker ends the point that it is at, and the result is dropped."""
        self._executor.shutdown(wait=False)
        self._client.close()
