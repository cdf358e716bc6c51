"""A server that plays Kaggle: the API checks the token and redirects to the storage, which sends the bytes."""

import base64
import hashlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "KGAT_5ecret5ecret5ecret"
SIGNATURE = "signature-that-nobody-should-see"
API = "/api/v1/competitions/data/download/carvana-image-masking-challenge"


class FakeKaggle:
    """Two local servers. Set attributes to inject faults; `requests` holds what was asked.

    Attributes:
        address: of the competition's files.
        files: bytes by file name.
        answers: status codes, or (code, headers, body), that the API gives first, one a request.
        cuts: numbers of bytes after which the storage breaks off, one a request; they move to `sent_cuts`.
        spoil: number of answers in which the storage sends a wrong byte.
        extra: bytes that the storage announces and does not send.
        middle: called in the middle of a file.
        pause: seconds of silence of the storage after that.
        ranges, sums: whether the storage knows Range and sends an MD5 checksum.
        page: the API sends a web page.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.answers, self.cuts, self.sent_cuts = files, [], [], []
        self.spoil, self.extra, self.pause, self.middle = 0, 0, 0.0, None
        self.ranges, self.sums, self.page = True, True, False
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.api, self.storage = self._serve(self._api), self._serve(self._storage)
        self.address = f"http://127.0.0.1:{self.api.server_port}{API}"

    def _serve(self, answer):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                answer(self)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return server

    def close(self):
        for server in (self.api, self.storage):
            server.shutdown()
            server.server_close()

    def _send(self, handler, code, headers=(), body=b""):
        handler.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **dict(headers)}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    def _api(self, handler):
        self.requests.append(("api", handler.path, dict(handler.headers)))
        if self.answers:
            code = self.answers.pop(0)
            return self._send(handler, *(code if isinstance(code, tuple) else (code,)))
        basic = "Basic " + base64.b64encode(f"me:{TOKEN}".encode()).decode()
        if handler.headers.get("Authorization") not in (f"Bearer {TOKEN}", basic):
            return self._send(handler, 401, body=b'{"code":401,"message":"Unauthenticated"}')
        name = handler.path.removeprefix(f"{API}/")
        if name not in self.files:
            return self._send(handler, 404)
        if self.page:
            return self._send(handler, 200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>Log in</html>")
        place = f"http://127.0.0.1:{self.storage.server_port}/{name}?Signature={SIGNATURE}"
        return self._send(handler, 302, {"Location": place})

    def _storage(self, handler):
        self.requests.append(("storage", handler.path, dict(handler.headers)))
        whole = self.files[handler.path[1:].split("?")[0]]
        wanted = handler.headers.get("Range") if self.ranges else None
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if start >= len(whole):
            return self._send(handler, 416, {"Content-Range": f"bytes */{len(whole)}"})
        body = whole[start:]
        if self.spoil:
            self.spoil -= 1
            body = body[:-50] + bytes([body[-50] ^ 1]) + body[-49:]
        headers = {"Content-Type": "application/zip", "Content-Length": str(len(body) + self.extra)}
        if self.sums:
            headers["x-goog-hash"] = "crc32c=AAAAAA==,md5=" + base64.b64encode(hashlib.md5(whole).digest()).decode()
        if wanted:
            headers["Content-Range"] = f"bytes {start}-{len(whole) - 1}/{len(whole)}"
        handler.send_response(206 if wanted else 200)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        if self.cuts:
            self.sent_cuts.append(self.cuts.pop(0))
            body = body[: self.sent_cuts[-1]]
        middle = len(body) // 2
        try:
            handler.wfile.write(body[:middle])
            handler.wfile.flush()
            if self.middle:
                self.middle()
            time.sleep(self.pause)
            handler.wfile.write(body[middle:])
        except OSError:
            pass
