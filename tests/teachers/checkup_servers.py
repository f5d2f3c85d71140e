"""Endpoints for tests of the check: one that is as it should be, and ways to spoil it."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]
Reply = tuple[int, str, str]
"""Status, content type, text."""
Respond = Callable[[Json], Reply]
JSON, HTML, EVENTS = "application/json", "text/html", "text/event-stream"
CALL = {"id": "call_1", "type": "function", "function": {"name": "bash", "arguments": '{"command": "ls"}'}}
USAGE = {"prompt_tokens": 900, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 800}}


def chat(message: Json, **more: object) -> Reply:
    """A completion."""
    body = {
        "model": "m",
        "choices": [{"message": {"role": "assistant"} | message, "finish_reason": "stop"}],
        "usage": USAGE,
    }
    return 200, JSON, json.dumps(body | more)


def events(*chunks: Json) -> Reply:
    """A stream."""
    return 200, EVENTS, "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"


def fine(body: Json) -> Reply:
    """As it should be: thinks, calls, streams, counts."""
    if not body.get("tools"):
        return chat({"content": "yes"})
    if body.get("stream"):
        return events(
            *({"choices": [{"delta": {"tool_calls": [piece]}}]} for piece in _pieces()),
            {"choices": [], "usage": USAGE},
        )
    return chat({"content": "", "reasoning_content": "hm", "tool_calls": [CALL]})


def _pieces() -> Iterator[Json]:
    yield {"index": 0, "id": "call_1", "function": {"name": "bash", "arguments": ""}}
    for piece in ('{"command"', ': "ls"}'):
        yield {"index": 0, "function": {"arguments": piece}}


def saying(text: str) -> Respond:
    """Answers everything by one text."""
    return lambda body: chat({"content": text})


def hanging(_: Json) -> Reply:
    """Answers too late."""
    time.sleep(1.5)
    return chat({"content": "sorry"})


@contextmanager
def endpoint(respond: Respond, models: Json | str | None = None) -> Iterator[str]:
    """Serve on a free port of loopback; yields the base URL. `models` is what /models says."""
    listed = {"data": [{"id": "m", "max_model_len": 131072}]} if models is None else models

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = listed if isinstance(listed, str) else json.dumps(listed)
            self.answer(200, HTML if isinstance(listed, str) else JSON, text)

        def do_POST(self) -> None:
            self.answer(*respond(json.loads(self.rfile.read(int(self.headers["content-length"])))))

        def answer(self, status: int, kind: str, text: str) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *args: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    serving = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
