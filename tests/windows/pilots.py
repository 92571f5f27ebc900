"""Hands and eyes for tests of windows: a mouse and a keyboard on a virtual screen, and in a browser without one.

Both give the events that a person would: through the X server (xdotool), and through Chromium's DevTools. Positions
are pixels of the window from its upper left corner.
"""

import asyncio
import base64
import contextlib
import importlib.util
import io
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageGrab
from tornado.websocket import WebSocketClientConnection, websocket_connect

ROOT = Path(__file__).resolve().parents[2]
SIZE = (1280, 800)
#: What draws windows on the screen. PHOTDB_TEST_BACKEND=QtAgg with Qt installed tests that, and so on.
BACKEND = os.environ.get("PHOTDB_TEST_BACKEND", "TkAgg")
#: Seconds that anything may take on a busy machine.
PATIENCE = 60.0
#: The colour of the Save button, by which a window is known to be there.
_SAVE = (0, 114, 178)


def need(*programs: str) -> str:
    """Give the first of these programs that is installed; skip the test without any."""
    for program in programs:
        if found := shutil.which(program):
            return found
    pytest.skip(f"{programs[0]} is not installed: see .ci/run for the packages that tests of windows need")


def until(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Wait until something is true, and give it."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {patience:.0f} s in vain: {what}")


class Command:
    """A photdb command that opens a window, in a process of its own."""

    def __init__(self, *arguments: object, cwd: Path, **environment: str) -> None:
        env = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND")}
        env |= {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error::ResourceWarning", **environment}
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "photdb", *map(str, arguments)], cwd=cwd, env=env, stdout=self._log, stderr=self._log
        )

    def said(self) -> str:
        """Give all that it has written so far."""
        return os.pread(self._log.fileno(), 1 << 20, 0).decode()

    def address(self) -> str:
        """Wait for the address that it prints."""
        found = until(lambda: self.process.poll() is not None or re.search(r"http://\S+/", self.said()), "an address")
        assert found is not True, self.said()
        return str(found[0])

    def ends(self, code: int = 0) -> str:
        """Wait until it has ended, see how, and give what it wrote."""
        assert self.process.wait(PATIENCE) == code, self.said()
        assert "Traceback" not in self.said(), self.said()
        return self.said()

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def close(self) -> None:
        """Be rid of it, however the test went."""
        self.process.kill()
        self.process.wait()
        self._log.close()


class Pilot(Protocol):
    """A mouse, a keyboard and a look at the window."""

    def move(self, x: float, y: float) -> None: ...
    def press(self, x: float, y: float, button: int = 1) -> None: ...
    def release(self, x: float, y: float, button: int = 1) -> None: ...
    def wheel(self, x: float, y: float, steps: int) -> None: ...
    def key(self, name: str) -> None: ...
    def look(self) -> NDArray[np.uint8]: ...

    def click(self, x: float, y: float, button: int = 1) -> None:
        """Click; 1 is the left button, 3 the right one."""
        self.move(x, y)
        self.press(x, y, button)
        self.release(x, y, button)

    def drag(self, start: tuple[float, float], end: tuple[float, float], steps: int = 8) -> None:
        """Drag with the left button."""
        self.move(*start)
        self.press(*start)
        for part in np.linspace(0, 1, steps + 1)[1:]:
            self.move(*(np.array(start) + part * (np.array(end) - np.array(start))))
        self.release(*end)

    def is_open(self) -> bool:
        """Tell whether the window is there with its buttons."""
        seen = self.look()
        return bool((np.abs(seen[-60:].astype(int) - _SAVE).max(axis=-1) < 12).sum() > 300)

    def settled(self) -> NDArray[np.uint8]:
        """Look until nothing changes any more."""
        before = self.look()
        while True:
            time.sleep(0.35)
            now = self.look()
            if now.shape == before.shape and (now == before).all():
                return now
            before = now

    def changes(self, before: NDArray[np.uint8], share: float) -> None:
        """Wait until more than a share of the pixels are others: a busy machine may take its time."""
        until(lambda: (self.look() != before).any(axis=-1).mean() > share, f"{share:.0%} of the pixels to change")

    def save(self, path: Path) -> None:
        """Keep a picture of the window."""
        Image.fromarray(self.settled()).save(path)


class Desktop(Pilot):
    """A screen that nobody sees, without a window manager: the window is at its upper left corner."""

    def __init__(self) -> None:
        if importlib.util.find_spec("_tkinter") is None:
            pytest.skip("this Python has no Tk: see .ci/run for the packages that tests of windows need")
        self._xdotool = need("xdotool")
        out, into = os.pipe()
        # By itself a server starts anew, with all buttons up, whenever its last client leaves.
        screen = f"-noreset -nolisten tcp -dpi 96 -screen 0 {SIZE[0]}x{SIZE[1]}x24 -displayfd {into}"
        command = [need("Xvfb"), *screen.split()]
        self._server = subprocess.Popen(command, pass_fds=[into], stderr=subprocess.DEVNULL)
        os.close(into)
        with os.fdopen(out) as told:
            self.display = f":{int(told.readline())}"

    def _do(self, *words: object) -> None:
        env = {**os.environ, "DISPLAY": self.display}
        subprocess.run([self._xdotool, *map(str, words)], env=env, check=True, timeout=PATIENCE)

    def move(self, x: float, y: float) -> None:
        self._do("mousemove", round(x), round(y))

    def press(self, x: float, y: float, button: int = 1) -> None:
        self._do("mousedown", button)

    def release(self, x: float, y: float, button: int = 1) -> None:
        self._do("mouseup", button)

    def wheel(self, x: float, y: float, steps: int) -> None:
        self.move(x, y)
        self._do("click", "--repeat", abs(steps), "--delay", 1, 4 if steps > 0 else 5)

    def key(self, name: str) -> None:
        self._do("key", name)

    def look(self) -> NDArray[np.uint8]:
        return np.asarray(ImageGrab.grab(xdisplay=self.display))[..., :3]

    def close(self) -> None:
        """Stop the X server."""
        self._server.terminate()
        self._server.wait()


#: Keys as DevTools want them: name of X11 to (key, code of Windows).
_KEYS = {"Return": ("Enter", 13), "Escape": ("Escape", 27), "Left": ("ArrowLeft", 37), "Right": ("ArrowRight", 39)}
_KEYS |= {"Home": ("Home", 36), "End": ("End", 35), "BackSpace": ("Backspace", 8), "Delete": ("Delete", 46)}
_BUTTONS = {1: "left", 3: "right"}


class Browser(Pilot):
    """Chromium without a screen, on one page."""

    def __init__(self, address: str, size: tuple[int, int] = SIZE, scale: float = 1.0) -> None:
        self._folder = tempfile.mkdtemp(prefix="photdb-chromium-")
        options = "--headless --disable-gpu --no-first-run --disable-background-networking --disable-component-update"
        options += " --disable-sync --disable-extensions --hide-scrollbars --remote-debugging-port=0 --mute-audio"
        if os.name == "posix" and os.geteuid() == 0:
            options += " --no-sandbox"
        self._process = subprocess.Popen(
            [
                need("chromium", "chromium-browser", "google-chrome"),
                *options.split(),
                f"--user-data-dir={self._folder}",
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        port_file = Path(self._folder, "DevToolsActivePort")
        until(lambda: port_file.is_file() and port_file.read_text().strip(), "Chromium")
        self._port = port_file.read_text().split()[0]
        self._loop = asyncio.new_event_loop()
        self._ids = itertools.count(1)
        page = until(lambda: next((p for p in self._pages() if p["type"] == "page"), None), "the page")
        self._socket: WebSocketClientConnection = self._run(self._connect(page["webSocketDebuggerUrl"]))
        self.ask("Page.enable")
        self.ask("Page.bringToFront")
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": scale, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", **metrics)
        self._down = 0
        self.go(address)

    def _pages(self) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/json/list", timeout=PATIENCE) as answer:  # noqa: S310
            return json.load(answer)

    def _run(self, wanted: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(asyncio.wait_for(wanted, PATIENCE))

    async def _connect(self, address: str) -> WebSocketClientConnection:
        return await websocket_connect(address, max_message_size=1 << 28)

    async def _hang_up(self) -> None:
        self._socket.close()

    async def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        await self._socket.write_message(json.dumps(question))
        while True:
            message = await self._socket.read_message()
            assert message is not None, "Chromium has closed the connection"
            answer = json.loads(message)
            if answer.get("id") == question["id"]:
                assert "error" not in answer, answer
                return dict(answer["result"])
            if answer.get("method") == "Page.loadEventFired":
                self._is_loaded = True

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Have DevTools do something, and give their answer."""
        answer = self._run(self._ask({"id": next(self._ids), "method": method, "params": parameters}))
        return dict(answer)

    def go(self, address: str) -> None:
        """Open a page, and wait until it is there: while it changes, DevTools may not answer."""
        self._is_loaded = False
        self.ask("Page.navigate", url=address)
        until(lambda: self.evaluate_or_none("1") and self._is_loaded, "the page")

    def evaluate_or_none(self, script: str) -> Any:
        """Run a script in the page, which may just be going."""
        with contextlib.suppress(AssertionError):
            return self.evaluate(script)
        return None

    def evaluate(self, script: str) -> Any:
        """Run a script in the page, and give its value."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def close_page(self) -> None:
        """Leave the page, as by closing its tab."""
        self.go("about:blank")

    def note(self) -> str:
        """Give what the page says over the window."""
        return str(self.evaluate("document.getElementById('note').textContent"))

    def _mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def move(self, x: float, y: float) -> None:
        held = {"button": _BUTTONS.get(self._down, "none"), "buttons": {0: 0, 1: 1, 3: 2}[self._down]}
        self._mouse("mouseMoved", x, y, **held)

    def press(self, x: float, y: float, button: int = 1) -> None:
        self._down = button
        self._mouse("mousePressed", x, y, button=_BUTTONS[button], buttons={1: 1, 3: 2}[button], clickCount=1)

    def release(self, x: float, y: float, button: int = 1) -> None:
        self._down = 0
        self._mouse("mouseReleased", x, y, button=_BUTTONS[button], buttons=0, clickCount=1)

    def wheel(self, x: float, y: float, steps: int) -> None:
        for _ in range(abs(steps)):
            self._mouse("mouseWheel", x, y, deltaX=0, deltaY=-100 if steps > 0 else 100)

    def key(self, name: str) -> None:
        key, code = _KEYS.get(name, (name, ord(name.upper()) if len(name) == 1 else 0))
        text = {"text": name} if len(name) == 1 else {"text": "\r"} if name == "Return" else {}
        self.ask("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text)
        self.ask("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def look(self) -> NDArray[np.uint8]:
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")
        png = base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"])
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))

    def close(self) -> None:
        """Stop Chromium and all its processes."""
        self._run(self._hang_up())
        self._loop.close()
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
