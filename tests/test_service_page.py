"""The page in a browser, against a real service: what people do with it, and what titles cannot."""

from __future__ import annotations

import contextlib
import csv
import http.client
import io
import os
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from serving import FILMS, Server, films

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "javascript:alert(3)",
    "<svg onload=alert(4)>",
    "${alert(5)}{{alert(6)}}",
)
PATIENCE = 60_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Page:
    """A tab, and everything in it that should not happen."""

    def __init__(self, browser: Any, server: Any, start: str = "", **options: Any) -> None:
        self.tab = browser.new_context(**options).new_page()
        self.tab.set_default_timeout(PATIENCE)
        self.dialogs: list[str] = []
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        self.asked: list[str] = []
        self.tab.on("dialog", self._dialog)
        self.tab.on("pageerror", lambda error: self.errors.append(str(error)))
        self.tab.on("console", self._console)
        self.tab.on("request", lambda request: self._request(request.url, server.port))
        self.tab.goto(f"http://127.0.0.1:{server.port}/{start}")

    def _dialog(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def _console(self, message: Any) -> None:
        # What the server refuses is told there as well, and is no error of the page.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.errors.append(message.text)

    def _request(self, url: str, port: int | None) -> None:
        own = f"http://127.0.0.1:{port}/"
        if url.startswith(own):
            self.asked.append(url.removeprefix(own))
        elif not url.startswith(("blob:", "data:")):
            self.elsewhere.append(url)

    def last(self, part: str) -> str:
        """What was last asked of a part of the service."""
        return [url for url in self.asked if part in url][-1]

    def look_again(self) -> None:
        """As when one comes back from another tab."""
        self.tab.evaluate("dispatchEvent(new Event('focus'))")

    def confirm(self, action: str) -> None:
        """Answer a question with the button that says what will be done."""
        self.tab.click(f"dialog.ask[open] button:text-is('{action}')")

    def says(self, text: str) -> None:
        """Wait until the page says something."""
        self.tab.wait_for_selector(f"text={text}")

    def search(self, words: str) -> None:
        self.tab.fill("#query", words)
        self.tab.keyboard.press("Enter")
        self.tab.wait_for_selector(".results > li")

    def fine(self) -> None:
        """Nothing happened that should not."""
        assert (self.dialogs, self.errors, self.elsewhere) == ([], [], [])
        self.tab.context.close()


def hostile_films() -> bytes:
    """The bundled films; some have titles and texts that would like to be code."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, FILMS[0].keys())
    writer.writeheader()
    for row, film in enumerate(FILMS):
        wish = HOSTILE[row % len(HOSTILE)]
        writer.writerow(film | {"title": wish, "overview": f"{film['overview']} ghost {wish}"})
    return out.getvalue().encode()


def test_upload_fit_search_map_and_roll_back(
    browser: Any, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path / "hostile films.csv"
    file.write_bytes(hostile_films())
    with Server(tmp_path_factory.mktemp("page") / "data") as server:
        page = Page(browser, server)
        tab = page.tab
        # An empty service asks for a file; twice fitted, it has two versions.
        tab.wait_for_selector("input[name=items]")
        tab.set_input_files("input[name=items]", str(file))
        assert tab.input_value("input[name=name]") == "hostile-films"
        tab.click("text=Upload as “hostile-films”")
        for clusters in (8, 5):
            tab.wait_for_selector("input[name=n_clusters]")
            tab.fill("input[name=n_clusters]", str(clusters))
            tab.click("text=Make clusters of “hostile-films”")
            # What the first fit said stands there until the second one begins.
            tab.wait_for_selector(f"text=hostile-films, {clusters} clusters: done")
            # The panel is filled anew at a fit's end.
            tab.wait_for_selector(r"#panel-build >> text=/Iteration \d+ · inertia/")
        assert [each["active"] for each in server.get("/v1/models/hostile-films")["versions"]] == [
            True,
            False,
        ]
        # Found by its words, with the reasons, and every title is only text.
        tab.click("#tab-search")
        page.search("ghost")
        assert tab.locator(".results mark").count() > 0
        titles = " ".join(tab.locator(".results .title").all_inner_texts())
        assert any(wish in titles for wish in HOSTILE)
        tab.locator(".pictures").scroll_into_view_if_needed()  # they are drawn when they are seen
        tab.wait_for_selector(".pictures canvas")
        # A title opens an item with others like it.
        tab.click(".results .title a >> nth=0")
        tab.wait_for_selector("dialog[open] .similar li")
        tab.keyboard.press("Escape")
        # The map, its tooltips, and a cluster's items.
        tab.click("#tab-map")
        tab.wait_for_selector(".map canvas")
        assert "viewing only" in tab.inner_text("#panel-map")
        box = tab.locator(".map .chart").bounding_box()
        for step in range(0, 200, 5):
            tab.mouse.move(box["x"] + box["width"] / 2 - 100 + step, box["y"] + box["height"] / 2)
        tab.click(".clusters a >> nth=1")
        tab.wait_for_selector(".members li")
        # Back to the version before.
        tab.click("#tab-versions")
        tab.click("text=Go back to version 1")
        tab.wait_for_selector('tr.active th a:text-is("1")')
        assert server.get("/v1/models/hostile-films")["active"] == 1
        page.fine()


def test_a_refused_upload_says_why_and_can_be_mended(browser: Any, tmp_path: Path) -> None:
    file = tmp_path / "books.csv"
    file.write_text("isbn,plot\n" + "\n".join(f"{n},a ghost in house {n}" for n in range(20)))
    with Server(tmp_path / "data") as server:
        page = Page(browser, server)
        tab = page.tab
        tab.set_input_files("input[name=items]", str(file))
        # The page has seen that the usual column is missing, and asks which one to use.
        tab.fill("input[name=id]", "isbn")
        tab.fill("input[name=text]", "blurb")
        tab.click("text=Upload as “books”")
        tab.wait_for_selector("form .bad")
        assert "blurb" in tab.inner_text("form .bad")
        tab.fill("input[name=text]", "plot")
        tab.click("text=Upload as “books”")
        tab.wait_for_selector("input[name=n_clusters]")
        assert server.get("/v1/datasets/books")["rows"] == 20
        page.fine()


def test_a_table_without_texts_is_uploaded_fitted_and_looked_at(
    browser: Any, tmp_path: Path
) -> None:
    file = tmp_path / "customers.csv"
    rows = [f"{at % 3 * 20 + at % 5},{at % 3 * 1_000 + at % 7},{'abc'[at % 3]}" for at in range(60)]
    file.write_text("\n".join(["age,income,plan", *rows]))
    with Server(tmp_path / "data") as server:
        page = Page(browser, server)
        tab = page.tab
        tab.set_input_files("input[name=items]", str(file))
        tab.click("text=Upload as “customers”")
        page.says("the numbers 'age', 'income'")
        tab.fill("input[name=n_clusters]", "3")
        tab.click("text=More choices")
        tab.select_option("select[name=algorithm]", "lloyd")
        tab.click("text=Make clusters of “customers”")
        page.says("customers, 3 clusters: done")
        assert server.get("/v1/models/customers/report")["parameters"]["algorithm"] == "lloyd"
        tab.click("#tab-search")
        tab.wait_for_selector(".card")
        assert "Try" not in tab.inner_text("#panel-search")  # nothing in here is a word to try
        assert tab.locator(".card").count() == 3
        assert any("age" in card for card in tab.locator(".card").all_inner_texts())
        tab.click(".card >> nth=0")
        tab.wait_for_selector(".members li")
        tab.click(".members a >> nth=0")
        tab.wait_for_selector("dialog[open] .similar li")
        assert "income" in tab.inner_text("dialog[open] dl")
        tab.keyboard.press("Escape")
        tab.click("#tab-report")
        page.says("Explained")
        tab.click("#tab-versions")
        tab.wait_for_selector("tr.active")
        page.fine()


def test_a_search_can_be_linked_and_the_back_button_works(browser: Any, service: Server) -> None:
    page = Page(browser, service)
    tab = page.tab
    tab.wait_for_selector(".card")
    page.search("haunted house")
    link = tab.url
    first = tab.inner_text(".results .title >> nth=0")
    tab.click("text=Most popular")
    tab.wait_for_function(f"location.href !== {link!r}")
    tab.go_back()
    tab.wait_for_function(f"location.href === {link!r}")
    tab.goto("about:blank")
    tab.goto(link)
    tab.wait_for_selector(".results > li")
    assert tab.inner_text(".results .title >> nth=0") == first
    page.fine()


def test_tabs_work_by_keyboard(browser: Any, service: Server) -> None:
    page = Page(browser, service)
    page.tab.wait_for_selector(".card")
    page.tab.focus("#tab-search")
    page.tab.keyboard.press("ArrowRight")
    assert page.tab.evaluate("document.activeElement.id") == "tab-map"
    page.tab.keyboard.press("Enter")
    page.tab.wait_for_selector(".map canvas")
    page.fine()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_scrolling_to_the_side(browser: Any, service: Server, scheme: str) -> None:
    size = {"width": 390, "height": 844}
    page = Page(browser, service, viewport=size, color_scheme=scheme, has_touch=True)
    tab = page.tab
    tab.wait_for_selector(".card")
    page.search("haunted house")
    for name in ("search", "map", "report", "versions", "build"):
        tab.click(f"#tab-{name}")
        tab.wait_for_selector(f"#panel-{name}:not([hidden])")
        tab.wait_for_timeout(300)
        wide = tab.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, name
    dark = tab.evaluate("getComputedStyle(document.body).backgroundColor").strip("rgb()").split(",")
    assert (int(dark[0]) < 128) == (scheme == "dark")
    page.fine()


def test_where_a_key_is_needed_the_page_asks_for_it(browser: Any, tmp_path: Path) -> None:
    with Server(tmp_path / "data", key="open-sesame", require_keys=1) as server:
        page = Page(browser, server)
        tab = page.tab
        tab.wait_for_selector("dialog[open] input")
        tab.fill("dialog[open] input", "open-sesame")
        tab.keyboard.press("Enter")
        tab.wait_for_selector("input[name=items]")
        page.fine()


class Prefixed(BaseHTTPRequestHandler):
    """A proxy that has the service under ``/clusters/`` and takes that away, as nginx may."""

    prefix = "/clusters/"
    goal: int

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def pass_on(self) -> None:
        """Send a request on, and what comes back as it comes."""
        if not self.path.startswith(self.prefix):
            self.send_error(404)
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        connection = http.client.HTTPConnection("127.0.0.1", self.goal, timeout=PATIENCE / 1_000)
        with contextlib.closing(connection), contextlib.suppress(ConnectionError):
            path = "/" + self.path.removeprefix(self.prefix)
            connection.request(self.command, path, body or None, dict(self.headers))
            reply = connection.getresponse()
            self.send_response(reply.status)
            for name, value in reply.getheaders():
                if name.lower() not in ("transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.end_headers()
            while part := reply.read1():
                self.wfile.write(part)

    do_GET = do_PUT = do_POST = do_DELETE = pass_on


@pytest.fixture
def proxy(service: Server) -> Iterator[Any]:
    """A proxy before the common service; ``port`` is its own."""
    handler = type("Handler", (Prefixed,), {"goal": service.port})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        yield SimpleNamespace(port=proxy.server_port)
        proxy.shutdown()
        thread.join()


def test_behind_a_prefix_everything_is_asked_for_under_it(
    browser: Any, service: Server, proxy: Any, tmp_path: Path
) -> None:
    file = tmp_path / "prefixed.csv"
    file.write_text(films(20), encoding="utf-8")
    page = Page(browser, proxy, "clusters/")
    tab = page.tab
    tab.wait_for_selector(".card")
    page.search("haunted house")
    tab.click(".results .title a >> nth=0")
    tab.wait_for_selector("dialog[open] .similar li")
    tab.keyboard.press("Escape")
    tab.click("#tab-map")
    tab.wait_for_selector(".map canvas")
    tab.click("#tab-build")
    tab.click("text=Upload another file")
    tab.set_input_files("input[name=items]", str(file))
    tab.click("text=Upload as “prefixed”")
    tab.click("text=Make clusters of “prefixed”")
    page.says("Version 1 of prefixed is ready.")
    tab.click("text=read the report")
    page.says("Report on prefixed, version 1")
    tab.click("#tab-versions")
    with tab.expect_download() as download:
        tab.click("text=Download clusters of version 1")
    assert len(Path(download.value.path()).read_text(encoding="utf-8").splitlines()) == 21
    assert page.asked and all(path.startswith("clusters/") for path in page.asked)
    for path in ("models", "datasets"):
        assert service.http.delete(f"/v1/{path}/prefixed").is_success
    page.fine()
