"""A server in a process of its own, which tells on request how much processor time it has used.

Started as ``python served.py SERVER``, where the server is one of the functions here, it prints its
address, and for each line that it reads the seconds that it has used so far.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from upgrade_client_lib.testing import sample_school


@contextmanager
def local_upgrade() -> Generator[str, None, None]:
    with sample_school().serve() as url:
        yield url


@contextmanager
def http_server() -> Generator[str, None, None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


class Echo(BaseHTTPRequestHandler):
    """Reads a request's JSON and sends it back."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_POST(self) -> None:
        received = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps([received, self.headers["User-Id"]]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


if __name__ == "__main__":
    with {"local_upgrade": local_upgrade, "http_server": http_server}[sys.argv[1]]() as address:
        print(address, flush=True)
        for _ in sys.stdin:
            print(time.process_time(), flush=True)
