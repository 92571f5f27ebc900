"""A window in a browser: served on 127.0.0.1 alone, under an address that nobody can guess, until it is closed.

The figure lives here and goes to the browser as pictures, of the rectangle that changed only. The page sends mouse and
keys, and the next motion of the mouse only when the last one was dealt with. A page that loses its connection tries
again and again, and finds everything as it was; nothing is saved but by Save.
"""

import asyncio
import contextlib
import hmac
import io
import json
import secrets
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
import tornado.httpserver
import tornado.netutil
import tornado.web
import tornado.websocket
from matplotlib.backends.backend_webagg_core import FigureCanvasWebAggCore, FigureManagerWebAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from photdb.store.lock import user_and_host
from photdb.viewers.windows.window import Window

#: What is typed into browsers for this machine; another name is another site that had itself resolved to us.
_HOSTS: Final = {"127.0.0.1", "localhost", "::1"}
_PAGE: Final = {
    "": ("page.html", "text/html"),
    "page.js": ("page.js", "text/javascript"),
    "page.css": ("page.css", "text/css"),
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws://{host}; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
#: What the page may send to the figure.
_EVENTS: Final = {
    "button_press",
    "button_release",
    "motion_notify",
    "scroll",
    "figure_enter",
    "figure_leave",
    "key_press",
    "key_release",
    "resize",
    "refresh",
    "set_device_pixel_ratio",
}
#: Pixels above which a picture of something in motion is sent with a loss, and the seconds until it is sent without.
_LARGE: Final = 60_000
_SHARPEN_S: Final = 0.25
#: How long a window without a terminal and without a page is kept, and how often it is looked after.
_ALONE_S: Final = 12 * 3600.0
_LOOK_S: Final = 60.0


class _Canvas(FigureCanvasWebAggCore):
    """A canvas that draws when it is told to, whoever is looking."""

    manager: "_Manager"
    _waiting = False

    def draw_idle(self, *args: Any, **kwargs: Any) -> None:
        """Draw once, after all that is to be drawn is known."""
        if not self._waiting:
            self._waiting = True
            asyncio.get_running_loop().call_soon(self._draw_once)

    def _draw_once(self) -> None:
        self._waiting = False
        self.draw()


class _Manager(FigureManagerWebAgg):
    """Sends what changed in the picture to all pages that are open."""

    canvas: _Canvas
    _sent: NDArray[np.uint32] | None = None
    _blurred = False
    _sharpening: asyncio.TimerHandle | None = None

    def add_web_socket(self, web_socket: Any) -> None:
        """Send everything to a page that was opened."""
        self._sent = None
        super().add_web_socket(web_socket)

    def refresh_all(self) -> None:
        """Send what changed."""
        self._send(exact=False)

    def _send(self, *, exact: bool) -> None:
        if not self.web_sockets:
            return
        rgba = np.asarray(self.canvas.get_renderer().buffer_rgba())
        pixels = rgba.view(np.uint32)[..., 0]
        rows, columns = slice(0, pixels.shape[0]), slice(0, pixels.shape[1])
        if self._sent is not None and self._sent.shape == pixels.shape and not exact:
            changed = pixels != self._sent
            if not changed.any():
                return
            rows, columns = _extent(changed.any(axis=1)), _extent(changed.any(axis=0))
        part = np.ascontiguousarray(rgba[rows, columns, :3])
        large = part.size > 3 * _LARGE and not exact
        picture = io.BytesIO()
        kind: dict[str, Any] = {"format": "jpeg", "quality": 82}
        Image.fromarray(part).save(picture, **(kind if large else {"format": "png", "compress_level": 1}))
        self._sent = pixels.copy()
        blob = struct.pack("<4H", columns.start, rows.start, pixels.shape[1], pixels.shape[0]) + picture.getvalue()
        for page in self.web_sockets:
            page.send_binary(blob)
        if self._sharpening is not None:
            self._sharpening.cancel()
        if large or (self._sharpening is not None and not exact):
            self._sharpening = asyncio.get_running_loop().call_later(_SHARPEN_S, self._sharpen)

    def _sharpen(self) -> None:
        self._sharpening = None
        self._send(exact=True)


def _extent(changed: NDArray[np.bool_]) -> slice:
    at = np.flatnonzero(changed)
    return slice(int(at[0]), int(at[-1]) + 1)


class _Guarded(tornado.web.RequestHandler):
    """Nothing for those without the token, or led here by another site."""

    def initialize(self, token: str = "", **rest: Any) -> None:
        self.token = token

    def set_default_headers(self) -> None:
        host = self.request.host if _is_ours(f"//{self.request.host}") else "127.0.0.1"
        for name, value in {
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-store",
            "Content-Security-Policy": _POLICY.format(host=host),
        }.items():
            self.set_header(name, value)
        self.clear_header("Server")

    def prepare(self) -> None:
        origin = self.request.headers.get("Origin")
        if not _is_ours(f"//{self.request.host}"):
            raise tornado.web.HTTPError(403)
        if origin is not None and urlsplit(origin).netloc != self.request.host:
            raise tornado.web.HTTPError(403)
        given, _, self.rest = self.request.path.lstrip("/").partition("/")
        if not hmac.compare_digest(given.encode(), self.token.encode()):
            raise tornado.web.HTTPError(404)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self.set_header("Content-Type", "text/plain")
        self.finish({403: "Forbidden\n", 404: "Not found\n"}.get(status_code, "Error\n"))


class _Page(_Guarded):
    def get(self, *path: str) -> None:
        if self.rest not in _PAGE or not self.request.path.startswith(f"/{self.token}/"):
            raise tornado.web.HTTPError(404)
        name, kind = _PAGE[self.rest]
        self.set_header("Content-Type", f"{kind}; charset=utf-8")
        self.finish((files("photdb.viewers.windows") / "page" / name).read_bytes())


class _Socket(_Guarded, tornado.websocket.WebSocketHandler):
    """The connection of a page that is open."""

    def initialize(self, token: str = "", manager: Any = None, **rest: Any) -> None:
        super().initialize(token)
        self.manager = manager

    def check_origin(self, origin: str) -> bool:
        return urlsplit(origin).netloc == self.request.host  # `prepare` has seen to it already

    def open(self, *path: str) -> None:
        self.set_nodelay(True)
        self.manager.add_web_socket(self)

    def on_close(self) -> None:
        self.manager.web_sockets.discard(self)

    def on_message(self, message: str | bytes) -> None:
        event = json.loads(message)
        if event.get("type") in _EVENTS:
            self.manager.handle_json(event)
        self.send_json({"type": "done"})

    def send_json(self, content: dict[str, Any]) -> None:
        self._write(json.dumps(content), binary=False)

    def send_binary(self, blob: bytes) -> None:
        self._write(blob, binary=True)

    def _write(self, message: str | bytes, *, binary: bool) -> None:
        with contextlib.suppress(tornado.websocket.WebSocketClosedError):
            self.write_message(message, binary=binary)


def _is_ours(url: str) -> bool:
    try:
        return urlsplit(url).hostname in _HOSTS
    except ValueError:
        return False


def serve(window: Window[Any], say: Callable[[str], None]) -> None:
    """Serve a window until it is closed; Ctrl-C closes it without saving.

    Parameters
    ----------
    window : Window
        Any of them.
    say : callable
        Takes the address, and how to reach it from another machine.
    """
    asyncio.run(_serve(window, say))


async def _serve(window: Window[Any], say: Callable[[str], None]) -> None:
    done = asyncio.Event()
    canvas = _Canvas(Figure(figsize=window.size, dpi=100))
    manager = _Manager(canvas, 0)
    if manager.key_press_handler_id is not None:
        canvas.mpl_disconnect(manager.key_press_handler_id)
    token = secrets.token_urlsafe(24)
    routes: list[Any] = [
        (rf"/{token}/ws", _Socket, {"token": token, "manager": manager}),
        (r"/(.*)", _Page, {"token": token}),
    ]
    server = tornado.httpserver.HTTPServer(tornado.web.Application(routes, log_function=lambda handler: None))
    (socket,) = tornado.netutil.bind_sockets(0, "127.0.0.1")
    server.add_sockets([socket])
    port = socket.getsockname()[1]
    manager.set_window_title(window.title)
    window.start(canvas.figure, done.set)
    canvas.draw()
    user, host = user_and_host()
    say(f"Open in a browser:  http://127.0.0.1:{port}/{token}/")
    say(f"From another machine, forward the port first:  ssh -L {port}:127.0.0.1:{port} {user or 'USER'}@{host}")
    say("Save or Enter in the window saves; Ctrl-C here closes it without saving.")
    try:
        with _outliving_the_terminal(window, manager):
            await done.wait()
    finally:
        window.cancel()
        how = "Saved" if window.saved is not None else "Closed; nothing was saved"
        for page in list(manager.web_sockets):
            page.send_json({"type": "closed", "text": f"{how}. photdb is done here."})
            page.close()
        server.stop()
        await server.close_all_connections()
        await asyncio.sleep(0.1)  # for the pages to be told


@contextlib.contextmanager
def _outliving_the_terminal(window: Window[Any], manager: _Manager) -> Iterator[None]:
    """Keep what was clicked where an ssh connection breaks, and with it the terminal: the page finds it again.

    Ctrl-C closes the window. Without a page, and nobody at a terminal, it ends by itself.
    """
    if sys.platform == "win32":
        yield
        return
    loop = asyncio.get_running_loop()

    def look(left_s: float) -> None:
        left_s = _ALONE_S if manager.web_sockets else left_s - _LOOK_S
        if left_s <= 0:
            window.cancel()
        else:
            loop.call_later(_LOOK_S, look, left_s)

    handlers = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}
    loop.add_signal_handler(signal.SIGHUP, look, _ALONE_S)
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not raised in the loop: the page is to be told.
        if handlers[number] is not signal.SIG_IGN:
            loop.add_signal_handler(number, window.cancel)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
