"""Where work on frames runs: in this process, in a pool of processes, or on a Dask cluster; results come in order.

Everything behind it is a `concurrent.futures.Executor`, and what happens when workers die is written once for all.
Workers compute and read frames; only the calling process writes to the project. It works, too, until they are ready.
"""

import contextlib
import gc
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from photdb.errors import PhotdbError
from photdb.interruptions import held_back
from photdb.wording import KEPT

if TYPE_CHECKING:
    from photdb.executors.cluster import Cluster

Task = TypeVar("Task")
Result = TypeVar("Result")

#: Shorter work is done in this process, which also works while a pool starts, for 0.3 s.
POOL_START_S = 0.6
#: So often a cluster is asked whether it has workers at all, while a result is waited for.
_LOOK_S = 5.0
#: So long after its server was killed a pool is started once more; until it has ended it would be taken for alive.
_START_AGAIN_S = 0.1
#: A task that ends its worker so often, running alone, is not tried again.
_ATTEMPTS = 3
#: One thread each: the workers share the cores already.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
#: What processes are started with; the last: nothing is imported from the folder that the user happens to be in.
_ENVIRONMENT = {**dict.fromkeys(_ONE_THREAD, "1"), "PYTHONSAFEPATH": "1"}


class Workers:
    """The workers of one command, started when first needed; use it as a context manager.

    Parameters
    ----------
    n_workers : int, optional
        How many processes; the cores by default. 1: everything runs in this process.
    scheduler : str, optional
        Address of the scheduler of a Dask cluster, such as ``tcp://host:8786``: its workers do the work.
    preload : sequence of str
        Modules that the processes of a pool need: imported once, for all of them.
    """

    def __init__(self, n_workers: int | None = None, scheduler: str | None = None, preload: Sequence[str] = ()) -> None:
        self.n_workers = n_workers or os.cpu_count() or 1
        self.scheduler = scheduler
        self._preload = list(preload)
        self._executor: Executor | None = None
        self._cluster: Cluster | None = None
        self._starts: list[Future[Any]] = []  # what the processes of a pool do first
        _keep_freed_memory()

    def run(
        self, function: Callable[[Task], Result], tasks: Sequence[Task], *, estimate_s: float = 0.0
    ) -> Iterator[Result]:
        """Yield `function(task)` for each task, in order.

        When a worker dies, what it had begun is done again; nothing that came back is lost.

        Parameters
        ----------
        function : callable
            At module level, so that a worker process can import it.
        tasks : sequence
            Its arguments; the text of one is said where it ends each worker that takes it.
        estimate_s : float
            How long all of it would take here; a pool is started only for longer work.

        Raises
        ------
        PhotdbError
            A task ended several workers, or the cluster cannot be used.
        """
        alone = self.n_workers == 1 or len(tasks) < 2 or (self._executor is None and estimate_s < POOL_START_S)
        if not tasks or (self.scheduler is None and alone):
            yield from map(function, tasks)
            return
        if self._executor is None:
            self._start()
        waiting: deque[tuple[Task, Future[Result]]] = deque()
        try:
            # A window, not all at once: results must not pile up in memory faster than they are saved.
            for task in tasks:
                if not waiting and not self._ready():  # a pool takes a while to start: this process need not stand idle
                    yield function(task)
                    continue
                waiting.append((task, self._submit(function, task)))
                if len(waiting) >= 3 * self.n_workers:
                    yield self._first(function, waiting)
            while waiting:
                yield self._first(function, waiting)
        finally:
            for _, future in waiting:
                future.cancel()

    def _first(self, function: Callable[[Task], Result], waiting: deque[tuple[Task, Future[Result]]]) -> Result:
        task, future = waiting.popleft()
        try:
            return self._result(future)
        except BrokenExecutor:
            return self._again(function, task, waiting)

    def _again(
        self, function: Callable[[Task], Result], task: Task, waiting: deque[tuple[Task, Future[Result]]]
    ) -> Result:
        """Do a task whose worker died, alone, so that none but itself can end another; then those that died with it."""
        for _ in range(_ATTEMPTS if self.scheduler is None else 1):  # Dask has tried it several times already
            if self.scheduler is None:
                wait([future for _, future in waiting])  # a broken pool ends all of them, but one after the other
                self._stop(wait=False)
                self._start()
            try:
                result = self._result(self._submit(function, task))
            except BrokenExecutor as error:
                died = error
            else:
                break
        else:
            if self._cluster is not None:
                self._cluster.n_threads()  # or is it the scheduler that is gone?
            raise PhotdbError(f"worker processes died, one after the other, over {task}: {KEPT}") from died
        for i, (other, future) in enumerate(waiting):
            if future.done() and (future.cancelled() or isinstance(future.exception(), BrokenExecutor)):
                waiting[i] = other, self._submit(function, other)
        return result

    def _submit(self, function: Callable[[Task], Result], task: Task) -> Future[Result]:
        assert self._executor is not None  # noqa: S101 - `run` has started it
        try:
            return self._executor.submit(function, task)
        except BrokenExecutor as error:
            lost: Future[Result] = Future()
            lost.set_exception(error)
            return lost

    def _result(self, future: Future[Result]) -> Result:
        if self._cluster is None:
            return future.result()
        n_looks_in_vain = 0
        while not wait([future], timeout=_LOOK_S).done:
            # Dask waits for ever for new workers in the place of those that died.
            n_looks_in_vain = 0 if self._cluster.n_threads() else n_looks_in_vain + 1
            if n_looks_in_vain > 1:
                raise PhotdbError(f"the Dask cluster at {self.scheduler} has no workers any more: {KEPT}")
        return future.result()

    def _ready(self) -> bool:
        return any(start.done() for start in self._starts) or not self._starts

    def _start(self) -> None:
        if self.scheduler is None:
            self._executor, self._starts = _pool(self.n_workers, self._preload)
            return
        from photdb.executors.cluster import Cluster  # asyncio takes a while to import

        self._executor = self._cluster = Cluster(self.scheduler)
        self.n_workers = self._cluster.n_threads()

    def _stop(self, *, wait: bool) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=wait, cancel_futures=True)
        self._executor = self._cluster = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop(wait=kind is None)


# --- a pool of processes ----------------------------------------------------------------------------------------------
def prepare(preload: Sequence[str]) -> None:
    """Let a pool get ready, while this process still imports and reads what the work is."""
    with _calm():
        _context(list(preload))


def _pool(n_workers: int, preload: list[str]) -> tuple[Executor, list[Future[Any]]]:
    for _ in range(_ATTEMPTS):
        with _calm():
            pool = ProcessPoolExecutor(n_workers, mp_context=_context(preload), initializer=_start_worker)
            try:
                # Starts the processes now, in this environment.
                return pool, [pool.submit(int) for _ in range(n_workers)]
            except (EOFError, OSError, BrokenExecutor) as error:  # killed while it starts
                pool.shutdown(wait=False)
                died = error
        time.sleep(_START_AGAIN_S)
    raise PhotdbError(f"worker processes cannot be started ({died!r}): {KEPT}; with -j 1 none are needed") from died


def _context(preload: list[str]) -> Any:
    """Give the way in which processes are started.

    They are not forked from this one: that would share the project's file handles and locks. Where there can be one, a
    server that has imported what they need, once, is forked instead; it starts getting ready now.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(preload)
    forkserver.ensure_running()
    return context


@contextlib.contextmanager
def _calm() -> Iterator[None]:
    """Start processes within: with one thread for linear algebra, deaf to Ctrl-C from the beginning, and to the end."""
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    with held_back(), _deaf():  # half a pool would leave processes that find nothing of what they are to share
        os.environ.update(_ENVIRONMENT)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Block what a terminal sends to the whole group, which processes started within inherit: the main one decides.

    It is not ignored here: what comes meanwhile is heard afterwards.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        # multiprocessing starts it beside them, and would unblock Ctrl-C while it does: so it comes first.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker() -> None:
    # Ctrl-C reaches the whole group of processes; the main one decides and tells the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    gc.set_threshold(100_000)  # results are arrays and numbers, with no cycles to be looked for
    _keep_freed_memory()


def _end_with_parent() -> None:
    """End this worker when the main process was killed: nobody else would, and it would wait for tasks for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _keep_freed_memory() -> None:
    """Make the C library keep large blocks that are freed, instead of asking the system for fresh pages each time.

    glibc raises its threshold for this to the largest block ever freed. Without it page faults take up to half the
    time of numpy's temporaries; other C libraries do as they did.
    """
    import numpy as np

    np.empty(16 << 20, np.uint8)
