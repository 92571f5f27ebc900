"""How a command ends before its time: told to by Ctrl-C, SIGTERM or SIGHUP, or nobody reads any more what it says.

Python raises `KeyboardInterrupt` wherever the main thread happens to be. In the midst of an import that breaks what is
imported, between two steps of tidying up it leaves the rest undone, and before and after a command nobody catches it.
So here it is raised only while a command is at work, and never inside of what must be whole; before and after, the
process just ends.
"""

import atexit
import contextlib
import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any, Self

#: Ctrl-C, a polite kill, and the end of the terminal; Windows knows no SIGHUP.
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
#: By which a signal that came amiss comes again; Windows has no such timer.
_TIMERS = (signal.SIGALRM,) if hasattr(signal, "SIGALRM") else ()
#: Functions by these names set up or tidy up, and so do all that they call.
_WHOLE = {"__enter__", "__exit__", "__del__"}
#: Modules that break: what is imported, and the connection, which SQLAlchemy closes over what is no `Exception`.
_BREAK = ("<frozen importlib", f"{os.sep}sqlalchemy{os.sep}")
#: So soon it is looked again whether the main thread has come out of what must be whole.
_AGAIN_S = 0.005
#: Tk's way into Python, which prints a traceback of whatever is raised there, and goes on.
_REPORTING = ("__call__", "tkinter")

_came: int = signal.SIGINT  # the last signal
_waiting = False  # one is to be raised once the main thread has come out of what must be whole
_depth = 0  # of commands at work: one may run others
_code: int | None = None  # what the process is to end with, once a command has come to its end


def heed() -> None:
    """End politely at these signals from now on; those that whoever started us wants ignored stay ignored."""
    for number in (*SIGNALS, *_TIMERS):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _hear)
    atexit.register(_ignore)


def _ignore() -> None:
    """Let Python clear up after all that is ours has ended: it would hand signals back to the system, which kills."""
    for number in (*SIGNALS, *_TIMERS):
        signal.signal(number, signal.SIG_IGN)


def exit_code() -> int:
    """Give the exit code of a command that was interrupted, as shells count: 128 and the signal's number."""
    return 128 + _came


class AtWork:
    """While a command is at work an interruption is raised in it, as `KeyboardInterrupt`; a context manager.

    Attributes
    ----------
    interruption : KeyboardInterrupt or None
        What ended it, after which it is kept from whoever is outside.
    """

    interruption: KeyboardInterrupt | None = None

    def __enter__(self) -> Self:
        global _depth
        _depth += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        global _depth, _code
        if isinstance(error, KeyboardInterrupt):
            self.interruption = error
        elif error is not None and _waiting:  # it came, too, and was to be raised in a moment
            self.interruption = KeyboardInterrupt()
        if _depth == 1:
            # click's exceptions say what they end with.
            failed = getattr(error, "exit_code", int(error is not None))
            _code = failed if self.interruption is None else exit_code()
        _depth -= 1
        return self.interruption is not None


def _hear(number: int, frame: FrameType | None) -> None:
    global _waiting
    _note(number)
    if _depth == 0:
        if _code is None:
            with contextlib.suppress(OSError):  # the terminal may be gone
                os.write(2, b"Interrupted before anything was done.\n")
        os._exit(exit_code() if _code is None else _code)
    _waiting = bool(_TIMERS) and _must_be_whole(frame)
    if _waiting:
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
        return
    raise KeyboardInterrupt


def _note(number: int) -> None:
    global _came
    if number in SIGNALS:
        _came = number


def _must_be_whole(frame: FrameType | None) -> bool:
    while frame is not None:
        code = frame.f_code
        if code.co_name in _WHOLE or any(part in code.co_filename for part in _BREAK):
            return True
        if (code.co_name, os.path.basename(os.path.dirname(code.co_filename))) == _REPORTING:
            return True
        frame = frame.f_back
    return False


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Hold interruptions back until what is inside is done, or has failed, and let them come then."""
    if threading.current_thread() is not threading.main_thread():  # nobody else hears them
        yield
        return
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, frame: came.append(number))
        for number in (*SIGNALS, *_TIMERS)
        if signal.getsignal(number) in (_hear, signal.default_int_handler)
    }
    try:
        yield
    except BaseException:
        if came:  # whoever told us told our workers, too: that is why it failed
            _note(came[-1])
            raise KeyboardInterrupt from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:  # at once: a moment later, others might be held back again, and so to the end of the work
        _note(came[-1])
        raise KeyboardInterrupt


# --- readers that are gone --------------------------------------------------------------------------------------------
class _Unheard(io.FileIO):
    """A standard stream that goes on when nobody reads it any more: what is done matters more than what is said."""

    def write(self, data: Any) -> int:
        n_bytes = memoryview(data).nbytes
        if n_bytes == 0:  # click does so to see what a stream is, and would keep the error to itself
            return 0
        try:
            return super().write(data)
        except OSError as error:
            # What is still in a buffer would fail once more at the end.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            if error.errno not in (errno.EPIPE, errno.EIO) and self.fileno() == 1:  # data that are lost are an error
                raise
            return n_bytes


def outlive_readers() -> None:
    """Let a command end as it would when its reader has gone (`photdb sql … | head`, `photdb run 2>&1 | head`)."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and not (sys.platform == "win32" and stream.isatty()):
            raw = _Unheard(stream.fileno(), "wb", closefd=False)
            wrapped = io.TextIOWrapper(
                raw if stream.write_through else io.BufferedWriter(raw),  # as Python does
                stream.encoding,
                stream.errors,
                line_buffering=stream.line_buffering,
                write_through=stream.write_through,
            )
            setattr(sys, name, wrapped)
