"""A window in a browser: for nobody else, without losing anything, and done when it is done."""

import signal
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import pytest
from pilots import until
from plan import Plan
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.ioloop import IOLoop
from tornado.websocket import websocket_connect

HEADERS = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


def get(url: str, **headers: str) -> tuple[int, dict[str, str], str]:
    request = urllib.request.Request(url, headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            return answer.status, dict(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read().decode()


@pytest.fixture
def served(night_at, command):
    """A window that is served, and its address."""
    night = night_at("selected")
    process = command(night, "select", "--web")
    return night, process, process.address()


def test_nothing_is_given_without_the_token_nor_to_other_sites(served):
    _, process, address = served
    base = "{0.scheme}://{0.netloc}".format(urlsplit(address))
    here = urlsplit(address).netloc
    port = urlsplit(address).port
    token = urlsplit(address).path.strip("/")
    assert urlsplit(address).hostname == "127.0.0.1"
    assert len(token) >= 32
    for path in ("", "page.js", "page.css"):
        status, headers, body = get(address + path)
        assert status == 200
        assert HEADERS.items() <= headers.items()
        assert "'unsafe" not in headers["Content-Security-Policy"]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert token not in body
        assert get(address + path, Host=f"localhost:{port}")[0] == 200
        assert get(address + path, Host="127.0.0.1:9999")[0] == 200  # the port that ssh forwards may be another
    for url in ("/", f"/{token}", "/page.js", f"/{token[:-1]}/", f"/{token}x/", f"/{token}/nothing", "/favicon.ico"):
        status, headers, body = get(base + url)
        assert (status, body) == (404, "Not found\n")
        assert HEADERS.items() <= headers.items()
    for beyond in ("page.html", "../web.py", "..%2fweb.py", "%2e%2e/web.py", "/etc/passwd", "page", "..", "page.js/"):
        assert get(f"{base}/{token}/{beyond}")[0] == 404, beyond  # three names are known, and no folder is looked into
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "[::2]:80"):
        for url in (address, base + "/", address + "ws"):
            assert get(url, Host=host)[0] == 403, (host, url)
    for origin in ("http://evil.example", "null", f"http://localhost:{port + 1}", "https://127.0.0.1"):
        assert get(address, Origin=origin)[0] == 403
        assert connect(address, Origin=origin) == 403
    assert get(address, Origin=f"http://{here}")[0] == 200
    assert connect(address, Origin=f"http://{here}") == 101
    wrong = token[:-1] + ("y" if token.endswith("x") else "x")
    assert connect(f"{base}/{wrong}/", Origin=f"http://{here}") == 404
    assert connect(address, Origin="http://evil.example", Host="evil.example") == 403
    said = process.said()
    assert f"ssh -L {port}:127.0.0.1:{port} " in said
    process.interrupt()
    process.ends()


def connect(address: str, **headers: str) -> int:
    """Open the page's connection with other headers; gives the status of the answer."""

    async def attempt() -> int:
        request = HTTPRequest(address.replace("http:", "ws:") + "ws", headers=headers)
        try:
            connection = await websocket_connect(request)
        except HTTPClientError as error:
            return error.code
        connection.close()
        return 101

    return int(IOLoop(make_current=False).run_sync(attempt))


def test_a_lost_connection_keeps_everything_and_saves_nothing(served, browser):
    night, process, address = served
    before = night.path.read_bytes()
    first = browser(address)
    until(first.is_open, "the window")
    plan = Plan(night)
    first.move(*plan.star("R3", plan.window.number))
    first.key("d")
    first.settled()
    first.close_page()
    assert night.path.read_bytes() == before
    second = browser(address)
    until(second.is_open, "the window again")
    second.settled()
    second.evaluate("socket.close(); 1")  # as if the net were gone for a moment
    until(lambda: "connection is lost" in second.note(), "a word about it")
    until(lambda: second.note() == "", "the connection again")
    process.process.send_signal(signal.SIGHUP)  # as if the terminal were gone, too
    second.settled()
    assert process.process.poll() is None
    assert night.path.read_bytes() == before
    second.click(*plan.button("Save"))
    until(lambda: "Saved. photdb is done here." in second.note(), "a word in the page")
    assert "photdb select remove R3" in process.ends()
    assert night.rows("SELECT 1 FROM source WHERE label = 'R3' AND removed_at IS NULL") == []
    with pytest.raises(urllib.error.URLError):
        get(address)


def test_the_right_button_opens_no_menu_and_keys_go_to_the_window_alone(served, browser):
    _, process, address = served
    page = browser(address)
    until(page.is_open, "the window")
    page.evaluate(
        "window.kept = []; for (const kind of ['contextmenu', 'keydown', 'wheel'])"
        " document.addEventListener(kind, event => kept.push([kind, event.defaultPrevented])); 1"
    )
    page.click(400, 300, 3)
    page.key("Right")
    page.key("BackSpace")
    page.wheel(400, 300, 1)
    assert page.evaluate("kept") == [["contextmenu", True], ["keydown", True], ["keydown", True], ["wheel", True]]
    assert page.evaluate("document.documentElement.innerHTML.includes('http')") is False
    page.key("Escape")
    assert "nothing was changed" in process.ends()


def test_a_page_of_another_size_gets_a_picture_of_its_size(served, browser):
    _, process, address = served
    for size, scale in (((390, 780), 2.0), ((1600, 900), 1.0)):
        page = browser(address, size, scale)
        until(page.is_open, "the window")
        page.settled()
        assert page.evaluate("[canvas.width, canvas.height]") == [size[0] * scale, size[1] * scale]
        page.close_page()
    process.interrupt()
    process.ends()


def touch(page, kind: str, *points: tuple[float, float]) -> None:
    """Put fingers on the page, move them, or take them off: `points` is where those are that stay."""
    at = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
    page.ask("Input.dispatchTouchEvent", type=kind, touchPoints=at)


def test_two_fingers_zoom_and_a_long_press_is_a_right_click(served, browser):
    """Fingers that part make the frame larger about their middle, and select nothing; a long press selects."""
    night, process, address = served
    page = browser(address)
    until(page.is_open, "the window")
    page.ask("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=2)
    whole = page.settled()
    touch(page, "touchStart", (400, 300))
    touch(page, "touchStart", (400, 300), (440, 300))
    for spread in range(50, 170, 10):
        touch(page, "touchMove", (420 - spread / 2, 300), (420 + spread / 2, 300))
    page.changes(whole, 0.1)
    zoomed = page.settled()
    touch(page, "touchEnd", (340, 300))
    touch(page, "touchMove", (300, 260))  # what is left of a pinch drags nothing
    touch(page, "touchEnd")
    assert (page.settled()[:600, :900] == zoomed[:600, :900]).mean() > 0.99
    page.key("w")
    page.key("c")
    plan = Plan(night)
    before = page.settled()
    touch(page, "touchStart", plan.star("V1", plan.window.number))
    page.changes(before, 0.0005)
    touch(page, "touchEnd")
    page.key("Return")
    said = process.ends()
    assert [line for line in said.splitlines() if line.startswith("photdb select ")] == ["photdb select check V1"], said
