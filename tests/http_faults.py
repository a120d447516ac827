"""A proxy before the emulator of Google Cloud Storage, which breaks requests as it is told."""

import http.client
import os
import re
import socket
import struct
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

_NAME = re.compile(rb'"name": *"([^"]+)"')
_NOT_FORWARDED = {"host", "connection", "accept-encoding", "content-length", "transfer-encoding"}


@dataclass
class Rule:
    """What becomes of the requests of one kind: `skip` pass, then `times` are broken."""

    kind: str
    act: Callable[["Handler"], None]
    times: float
    skip: int


class Faults:
    """Breaks requests by their kind, which is one of

    "look" (an object's metadata), "list", "download", "small" (a create or swap in one request), "session" (which
    begins a large upload), "piece" (of a large upload), "delete".

    Attributes:
        down: whether all requests are answered 503.
        requests: kind and URL of all that the client sent, in order.
        created: how often each object was sent in one request, by its name, while not all was answered 503.
        answers: kind and status of all that the emulator answered, in order.
    """

    def __init__(self, backend: str) -> None:
        self.down = False
        self.requests: list[tuple[str, str]] = []
        self.answers: list[tuple[str, int]] = []
        self.created: Counter[str] = Counter()
        self._backend = backend
        self._rules: list[Rule] = []
        self._lock = threading.Lock()

    def seen(self, kind: str) -> int:
        return sum(kind == each for each, _ in self.requests)

    def answer(self, kind: str, status: int, *, times: float = 1, skip: int = 0) -> None:
        """Answers `status` in the emulator's place."""
        self._add(kind, lambda handler: handler.reply(status, {}, b"as the test wants"), times, skip)

    def reset(self, kind: str, *, times: float = 1, skip: int = 0) -> None:
        """Resets the connection before the emulator hears of the request."""
        self._add(kind, lambda handler: handler.reset(), times, skip)

    def lose(self, kind: str, *, times: float = 1, skip: int = 0) -> None:
        """Has the emulator do what was asked, and loses its answer."""
        self._add(kind, lambda handler: (handler.forward(), handler.reset()), times, skip)

    def cut(self, kind: str, *, times: float = 1, skip: int = 0) -> None:
        """Sends half of the answer's body."""
        self._add(kind, lambda handler: handler.cut(), times, skip)

    def garble(self, kind: str, *, times: float = 1, skip: int = 0) -> None:
        """Changes the last byte of the answer's body."""

        def act(handler: "Handler") -> None:
            status, headers, body = handler.forward()
            handler.reply(status, headers, body[:-1] + bytes([body[-1] ^ 1]))

        self._add(kind, act, times, skip)

    def before(self, kind: str, do: Callable[[], object], *, times: float = 1, answer: int | None = None) -> None:
        """Does something else first, then forwards the request, or answers `answer` in the emulator's place."""

        def act(handler: "Handler") -> None:
            do()
            handler.reply(*(handler.forward() if answer is None else (answer, {}, b"as the test wants")))

        self._add(kind, act, times, 0)

    def _add(self, kind: str, act: Callable[["Handler"], object], times: float, skip: int) -> None:
        self._rules.append(Rule(kind, act, times, skip))

    def serve(self, handler: "Handler") -> None:
        with self._lock:
            self.requests.append((handler.kind, handler.path))
            if handler.kind == "small" and not self.down and (name := _NAME.search(handler.body)):
                self.created[name[1].decode()] += 1
            act = self._next(handler.kind)
        if self.down:
            handler.reply(503, {}, b"as the test wants")
        else:
            act(handler)

    def _next(self, kind: str) -> Callable[["Handler"], object]:
        for rule in self._rules:
            if rule.kind == kind and rule.times > 0:
                if rule.skip:
                    rule.skip -= 1
                    break
                rule.times -= 1
                return rule.act
        return lambda handler: handler.reply(*handler.forward())

    def forward(self, handler: "Handler") -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(urlsplit(self._backend).netloc, timeout=30)
        headers = {name: value for name, value in handler.headers.items() if name.lower() not in _NOT_FORWARDED}
        connection.request(handler.command, handler.path, handler.body, headers)
        answer = connection.getresponse()
        body, here = answer.read(), f"http://{handler.headers['Host']}"
        connection.close()
        self.answers.append((handler.kind, answer.status))
        # The emulator names itself in what the client will follow.
        if "json" in answer.headers.get("Content-Type", ""):
            body = body.replace(self._backend.encode(), here.encode())
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in _NOT_FORWARDED}
        return answer.status, {name: value.replace(self._backend, here) for name, value in kept.items()}, body


class Handler(BaseHTTPRequestHandler):
    """One connection of the client's."""

    protocol_version = "HTTP/1.1"
    faults: Faults  # of a subclass, one a test

    def do_GET(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.kind = _kind(self.command, self.path)
        self.faults.serve(self)

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def forward(self) -> tuple[int, dict[str, str], bytes]:
        return self.faults.forward(self)

    def reply(self, status: int, headers: dict[str, str], body: bytes, *, length: int | None = None) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body) if length is None else length)}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def cut(self) -> None:
        status, headers, body = self.forward()
        self.reply(status, headers, body[: len(body) // 2], length=len(body))
        self.close_connection = True

    def reset(self) -> None:
        # Closed without lingering, a socket sends RST.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())
        self.close_connection = True


def _kind(method: str, url: str) -> str:
    query = parse_qs(urlsplit(url).query)
    if method == "POST":
        return "session" if query["uploadType"] == ["resumable"] else "small"
    if method in ("PUT", "DELETE"):
        return {"PUT": "piece", "DELETE": "delete"}[method]
    if query.get("alt") == ["media"]:
        return "download"
    return "list" if urlsplit(url).path.endswith("/o") else "look"


class _Server(ThreadingHTTPServer):
    """Says nothing of clients that went away: tests kill them."""

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@contextmanager
def serve(faults: Faults, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Runs the proxy; gives its URL."""
    server = _Server((host, port), type("Proxy", (Handler,), {"faults": faults}))
    thread = threading.Thread(target=server.serve_forever, args=[0.01], daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
