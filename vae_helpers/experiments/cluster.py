"""The workers of a Dask cluster, as `shipped.crew.LocalCrew` has the processes of this machine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future
from pkgutil import resolve_name
from typing import Any
from uuid import uuid4

TIMEOUT = 10  # seconds that a scheduler has to answer


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
