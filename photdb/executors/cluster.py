"""A Dask cluster as an executor: only this module knows Dask, and imports it only when there is a cluster."""

import asyncio
import logging
import re
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from typing import Any, TypeVar

from photdb import __version__
from photdb.errors import PhotdbError
from photdb.wording import KEPT

Result = TypeVar("Result")

#: How long to wait for a scheduler and for its first worker.
CONNECT_S = 10.0


class Cluster(Executor):
    """Has the workers of a Dask cluster do tasks.

    Dask's own executor is not used: it takes a result for an error where a worker dies at that moment.

    Parameters
    ----------
    scheduler : str
        The address of its scheduler, ``tcp://HOST:PORT``.

    Raises
    ------
    PhotdbError
        `distributed` is not installed, nobody answers there, there are no workers, or they lack photdb or have other
        versions than this process, with which results could differ.
    """

    def __init__(self, scheduler: str) -> None:
        self._scheduler = scheduler
        self._client = _connect(scheduler)
        try:
            _check_workers(self._client, scheduler)
        except BaseException:
            self.shutdown()
            raise

    def submit(self, function: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:
        """Have a task done; its future raises `BrokenExecutor` where workers died over it, or the scheduler is gone."""
        future: Future[Result] = Future()
        future.set_running_or_notify_cancel()  # what is given up ends with the client
        remote = self._client.submit(function, *args, **kwargs, pure=False)
        self._client.loop.add_callback(_pass_on, remote, future)
        return future

    def n_threads(self) -> int:
        """Count how many tasks the cluster can do at a time.

        Raises
        ------
        PhotdbError
            The scheduler does not answer any more.
        """
        try:
            return sum(self._client.nthreads().values())
        except (OSError, TimeoutError, RuntimeError, CancelledError, asyncio.CancelledError) as error:
            raise PhotdbError(f"the Dask scheduler at {self._scheduler} does not answer any more: {KEPT}") from error

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster, which goes on without us; what is still waiting there is let go of."""
        self._client.close(timeout=CONNECT_S)


async def _pass_on(remote: Any, future: Future[Any]) -> None:
    from distributed import KilledWorker
    from distributed.comm.core import CommClosedError

    try:
        result = await remote._result()
    except (KilledWorker, CommClosedError, CancelledError, asyncio.CancelledError) as error:
        future.set_exception(BrokenExecutor(f"{type(error).__name__}: {error}"))
    except ImportError as error:
        future.set_exception(PhotdbError(f"a worker of the Dask cluster lacks what photdb needs ({error}): {KEPT}"))
    except Exception as error:
        future.set_exception(error)
    else:
        future.set_result(result)


def _connect(scheduler: str) -> Any:
    try:
        import distributed
    except ImportError as error:
        raise PhotdbError("--scheduler needs the package distributed: pip install 'photdb[dask]'") from error
    if not re.fullmatch(r"(tcp|tls)://\S+:\d+", scheduler):
        raise PhotdbError(f"the address of a Dask scheduler is tcp://HOST:PORT, not {scheduler}")
    for name in ["asyncio", *logging.root.manager.loggerDict]:
        if name.split(".")[0] in ("asyncio", "distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters is said by us, in a sentence
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other versions: see below
            client = distributed.Client(scheduler, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise PhotdbError(
            f"no Dask scheduler answers at {scheduler}: is the address right, and is it running?"
        ) from error
    return client


def _check_workers(client: Any, scheduler: str) -> None:
    try:
        client.wait_for_workers(1, timeout=CONNECT_S)
    except TimeoutError as error:
        raise PhotdbError(
            f"the Dask cluster at {scheduler} has no workers: start some with `dask worker {scheduler}`"
        ) from error
    here = versions()
    for worker, there in client.run(versions, on_error="return").items():
        if isinstance(there, Exception):
            raise PhotdbError(
                f"the Dask worker {worker} cannot run photdb ({there}): it needs the same photdb, with its extra dask"
            )
        if other := [
            f"{name} {there.get(name)} instead of {here[name]}" for name in here if there.get(name) != here[name]
        ]:
            raise PhotdbError(f"the Dask worker {worker} has {', '.join(other)}: results could differ")


def versions() -> dict[str, str]:
    """Give the versions of what results and their transport depend on."""
    from importlib.metadata import version

    names = ("numpy", "scipy", "astropy", "dask", "distributed")
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return {"photdb": __version__, "Python": python, **{name: version(name) for name in names}}
