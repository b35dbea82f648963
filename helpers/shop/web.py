"""HTTP between the shop's processes: a small server, a client, and the server's log.

A server listens on a port of the loopback and writes its address into <folder>/<name>.address. Its log,
<folder>/<name>.http, has a line of JSON for each request: t and ended (time.monotonic()), server, method, path, status,
order and cause (as the caller told them in headers).
"""

import http.client
import json
import os
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ..lab import LabError

TIMEOUT = 2.0  # seconds to wait for an answer
LONGEST = 10_000  # bytes of a request's body


class TryAgain(Exception):
    """The call has brought no answer that one can go by; later it may."""


class NoAnswer(TryAgain):
    """Nobody knows whether the request has had its effect."""


@dataclass
class Request:
    """What a server is asked."""

    method: str
    path: str
    headers: dict
    body: dict


class Server:
    """Answers requests with answer(request) -> (status, dict), each connection in a thread."""

    def __init__(self, folder, name, answer, port=0):
        log = os.open(folder / f"{name}.http", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        handler = type("Handler", (_Handler,), {"answer": staticmethod(answer), "log": log, "name": name})
        try:
            self.http = ThreadingHTTPServer(("127.0.0.1", port), handler)
        except OSError as error:
            raise LabError(
                f"The {name} cannot listen on port {port}.", str(error), "choose another port, or 0 for any free one"
            ) from error
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        address = folder / f"{name}.address"
        address.with_suffix(".new").write_text(f"127.0.0.1:{self.http.server_port}")
        address.with_suffix(".new").replace(address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave together

    def do_POST(self):
        began = time.monotonic()
        try:
            request = Request(self.command, self.path, self.headers, self._body())
            status, body = self.answer(request)
        except ValueError as error:
            status, body = 400, {"error": f"no JSON object: {error}"}
        about = {"order": body.get("orderId") or self.headers.get("correlationid"), "result": body.get("result")}
        self._log(began, status, about)
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = do_POST

    def _body(self):
        length = int(self.headers.get("Content-Length") or 0)
        if length > LONGEST:
            self.close_connection = True
            raise ValueError(f"more than {LONGEST:,} bytes")
        body = json.loads(self.rfile.read(length) or "{}")
        if not isinstance(body, dict):
            raise ValueError("it is something else")
        return body

    def _log(self, began, status, about):
        line = {"t": began, "ended": time.monotonic(), "server": self.name, "method": self.command, "path": self.path}
        line |= {"status": status, "cause": self.headers.get("causationid"), "key": self.headers.get("Idempotency-Key")}
        os.write(self.log, (json.dumps(line | about) + "\n").encode())

    def log_message(self, *_):
        """The log is ours."""


class Client:
    """Asks a server by its name. One connection, which stays open."""

    def __init__(self, folder, server, timeout=TIMEOUT):
        self.folder, self.server, self.timeout, self.connection = folder, server, timeout, None

    def ask(self, method, path, body=None, **headers):
        """(status, answer as a dict). Raises NoAnswer when there is none in time.

        A connection that was kept may lead to a server that is gone: then it is asked once more, over a new one. That
        is safe, because every request has an idempotency key or changes nothing.
        """
        kept = self.connection
        try:
            return self._ask(method, path, body, headers)
        except ConnectionError as error:
            self.close()
            if kept:
                return self.ask(method, path, body, **headers)
            raise NoAnswer(f"{self.server} does not answer: {type(error).__name__}") from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise NoAnswer(f"{self.server} does not answer: {type(error).__name__}") from error

    def _ask(self, method, path, body, headers):
        if not self.connection:
            address = (self.folder / f"{self.server}.address").read_text()
            self.connection = http.client.HTTPConnection(address, timeout=self.timeout)
        data = json.dumps(body or {}).encode()
        self.connection.request(method, path, data, {"Content-Type": "application/json", **headers})
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read())

    def close(self):
        """The next request opens a new connection."""
        if self.connection:
            self.connection.close()
        self.connection = None


def on_behalf(event):
    """The headers that tell a server which event it is asked for, and which order."""
    return {"causationid": event.get_id(), "correlationid": event.get_extension("correlationid")}


def read_logs(folder):
    """All requests that the servers of a run have answered, as dicts."""
    for path in sorted(folder.glob("*.http")):
        yield from map(json.loads, path.read_text().splitlines())


def until_stopped(me):
    """Keeps a server's process until it is asked to stop."""
    while not me.stopping:
        time.sleep(0.1)
