"""The book, built once for all tests of its pages, and a plain host for it.

Without npm or Chromium these tests are skipped on a person's machine and fail in CI.
"""

import functools
import http.server
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import BinaryIO

import pytest
from helpers import WAIT, required

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """The book, built once, two folders below the folder that is served: hosts have sub-paths."""
    required(shutil.which("npm"), "npm")
    site = tmp_path_factory.mktemp("host") / "class" / "book"
    command = [sys.executable, "-m", "tools.site.book", "--out", str(site)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return site


class Host(http.server.SimpleHTTPRequestHandler):
    """A plain host. While `gate` is closed, the net's files stop in the middle: a network as slow as a test needs."""

    gate = threading.Event()

    def log_message(self, *arguments: object) -> None:
        pass

    def copyfile(self, source: BinaryIO, outputfile: BinaryIO) -> None:
        if self.path.endswith(".gz"):
            outputfile.write(source.read(500_000))
            outputfile.flush()
            self.gate.wait()
        super().copyfile(source, outputfile)


class Server(http.server.ThreadingHTTPServer):
    """A browser asks for many files at once. With Python's queue of 5, some requests wait minutes on a busy machine."""

    request_queue_size = 128


@pytest.fixture
def slow_net():
    """An event: until it is set, no more than the beginning of the net's files arrives."""
    Host.gate.clear()
    yield Host.gate
    Host.gate.set()


@pytest.fixture(scope="session")
def address(site):
    """Where the book is served, on this machine and without special headers."""
    handler = functools.partial(Host, directory=site.parent.parent)
    Host.gate.set()
    server = Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/{site.parent.name}/{site.name}"
    server.shutdown()


@pytest.fixture
def page(browser, address):
    """A page; `page.faults` lists its errors and every request to another host."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(WAIT)
    page.faults = []
    page.on("console", lambda m: page.faults.append(f"console: {m.text}") if m.type == "error" else None)
    page.on("pageerror", lambda error: page.faults.append(f"script: {error}"))
    # A request that a page no longer needs, because another page follows, is "aborted". A missing file is a 404.
    page.on(
        "requestfailed",
        lambda r: None if r.failure == "net::ERR_ABORTED" else page.faults.append(f"failed: {r.url} ({r.failure})"),
    )
    page.on("response", lambda r: page.faults.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
    page.on("request", lambda r: None if own(r.url, address) else page.faults.append(f"another host: {r.url}"))
    yield page
    context.close()


def own(url: str, address: str) -> bool:
    return url.startswith((address, "data:", "blob:"))
