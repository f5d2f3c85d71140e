"""A server on loopback that answers from a list, for one misbehaviour at a time."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, dict[str, str], str]
HANG_UP: Answer = (0, {}, "")
COUNTED = {"prompt_tokens": 5, "completion_tokens": 1}


def answer(content: str = "hi", **more: Any) -> Answer:
    """A good one."""
    choice = {"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    return 200, {}, json.dumps({"choices": [choice], "usage": COUNTED} | more)


class Script(BaseHTTPRequestHandler):
    """Answers POSTs from the server's list, one after the other; the last one again and again."""

    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        self.seen({})
        self.answer(200, {}, json.dumps({"data": [{"id": name} for name in self.server.models]}))

    def do_POST(self) -> None:
        self.seen(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        answers = self.server.answers
        status, headers, text = answers.pop(0) if len(answers) > 1 else answers[0]
        self.server.left.wait(float(headers.get("x-wait", 0)))
        if status:
            self.answer(status, headers, text)
        else:
            self.close_connection = True

    def seen(self, body: dict[str, Any]) -> None:
        (self.server.posts if body else self.server.gets).append((self.path, dict(self.headers), body))

    def answer(self, status: int, headers: dict[str, str], text: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", headers.get("x-length", str(len(text.encode()))))
        self.close_connection = "x-length" in headers
        self.end_headers()
        self.wfile.write(text.encode())
        self.wfile.flush()
        self.server.left.wait(float(headers.get("x-stall", 0)))

    def log_message(self, *args: object) -> None:
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *args: object) -> None:
        return None


@contextmanager
def serving(*answers: Answer, models: tuple[str, ...] = ()) -> Iterator[Any]:
    """The server; `posts` and `gets` are what it saw, as (path, headers, body)."""
    server: Any = _Server(("127.0.0.1", 0), Script)
    server.answers, server.posts, server.gets, server.models = list(answers), [], [], models
    server.left = threading.Event()
    server.base_url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.left.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
