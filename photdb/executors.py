"""Where work on frames runs: in this process, or in a pool of processes; results come back in the order of the tasks.

Everything behind it is a `concurrent.futures.Executor`, so that any other executor can take the place of the pool.
Workers compute and read frames; only the calling process writes to the project.
"""

import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from types import TracebackType
from typing import Self, TypeVar

import numpy as np

from photdb.errors import PhotdbError

Task = TypeVar("Task")
Result = TypeVar("Result")

#: Starting a pool takes about this long: shorter work is done in this process.
POOL_START_S = 1.0
#: One thread each: the workers share the cores already.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class Workers:
    """The workers of one command, started when first needed; use it as a context manager.

    Parameters
    ----------
    n_workers : int, optional
        How many processes; the cores by default. 1: everything runs in this process.
    """

    def __init__(self, n_workers: int | None = None) -> None:
        self.n_workers = n_workers or os.cpu_count() or 1
        self._executor: Executor | None = None
        _keep_freed_memory()

    def run(
        self, function: Callable[[Task], Result], tasks: Sequence[Task], *, estimate_s: float = 0.0
    ) -> Iterator[Result]:
        """Yield `function(task)` for each task, in order.

        Parameters
        ----------
        function : callable
            At module level, so that a worker process can import it.
        tasks : sequence
            Its arguments.
        estimate_s : float
            How long all of it would take here; a pool is started only for longer work.

        Raises
        ------
        PhotdbError
            A worker process died.
        """
        if self.n_workers == 1 or len(tasks) < 2 or (self._executor is None and estimate_s < POOL_START_S):
            yield from map(function, tasks)
            return
        if self._executor is None:
            self._executor = self._pool()
        waiting: deque[Future[Result]] = deque()
        upcoming = iter(tasks)
        try:
            # A window, not all at once: results must not pile up in memory faster than they are saved.
            for task in upcoming:
                waiting.append(self._executor.submit(function, task))
                if len(waiting) >= 3 * self.n_workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise PhotdbError("a worker process died: what was done is kept, and `photdb run` goes on") from error
        finally:
            for future in waiting:
                future.cancel()

    def _pool(self) -> Executor:
        before = {name: os.environ.get(name) for name in _ONE_THREAD}
        os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
        try:
            # Spawned, not forked: a fork would share the project's file handles and locks.
            pool = ProcessPoolExecutor(self.n_workers, mp_context=get_context("spawn"), initializer=_start_worker)
            for _ in range(self.n_workers):
                pool.submit(int)  # starts the processes now, in this environment
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
        return pool

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=kind is None, cancel_futures=True)
            self._executor = None


def _start_worker() -> None:
    # Ctrl-C reaches the whole group of processes; the main one decides and tells the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Make the C library keep large blocks that are freed, instead of asking the system for fresh pages each time.

    glibc raises its threshold for this to the largest block ever freed. Without it page faults take up to half the
    time of numpy's temporaries; other C libraries do as they did.
    """
    np.empty(16 << 20, np.uint8)
