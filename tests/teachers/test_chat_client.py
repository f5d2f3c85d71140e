"""The client against a real server on loopback that misbehaves in turn."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sera.errors import ConfigError, ContextOverflow, TeacherError, TeacherRefused, TeacherUnusable
from sera.records import Message
from sera.teachers.chat_client import ChatConfig, ChatTeacher
from sera.teachers.contract import ChatRequest, Reply

KEY = "sk-test-0123456789"
GOOD = (
    200,
    {},
    json.dumps({"choices": [{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}),
)
HANG_UP = (0, {}, "")
Answer = tuple[int, dict[str, str], str]


class Script(BaseHTTPRequestHandler):
    """Answers POSTs from the server's list, one after the other; the last one again and again."""

    server: Any

    def do_GET(self) -> None:
        self.answer(200, {}, '{"data": []}')

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.seen.append((self.path, dict(self.headers), json.loads(body)))
        answers = self.server.answers
        status, headers, text = answers.pop(0) if len(answers) > 1 else answers[0]
        if status:
            self.answer(status, headers, text)
        else:
            self.close_connection = True

    def answer(self, status: int, headers: dict[str, str], text: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args: object) -> None:
        return None


@contextmanager
def serving(*answers: Answer) -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Script)
    server.answers, server.seen = list(answers), []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def ask(server: Any, **config: Any) -> Reply:
    async def main() -> Reply:
        base = f"http://127.0.0.1:{server.server_port}/v1"
        async with ChatTeacher(ChatConfig(base_url=base, model="m", **config)) as teacher:
            return await teacher.complete(
                ChatRequest(messages=(Message(role="user", content="hello"),), seed=3)
            )

    return asyncio.run(asyncio.wait_for(main(), 30))


def test_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERA_API_KEY", KEY)
    with serving(GOOD) as server:
        assert ask(server).message.content == "hi"
    [(path, headers, body)] = server.seen
    assert path == "/v1/chat/completions"
    assert headers["authorization"] == f"Bearer {KEY}"
    assert (body["model"], body["seed"], body["temperature"], body["messages"]) == (
        "m", 3, 0.6, [{"role": "user", "content": "hello"}],
    )  # fmt: skip


@pytest.mark.parametrize(
    "trouble",
    [(500, {}, "oops"), (502, {}, "<html>bad gateway</html>"), (429, {"retry-after": "0"}, "slow down"),
     (200, {}, "no json"), (200, {}, '{"choices": []}'), HANG_UP],
    ids=["500", "502", "429", "no-json", "no-choices", "hang-up"],
)  # fmt: skip
def test_temporary_trouble_is_repeated(trouble: Answer) -> None:
    with serving(trouble, GOOD) as server:
        assert ask(server).message.content == "hi"
        assert len(server.seen) == 2
    with serving(trouble) as server:
        with pytest.raises(TeacherError):
            ask(server, retries=1)
        assert len(server.seen) == 2


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (
            (400, {}, '{"error": {"message": "This model\'s maximum context length is 8192 tokens"}}'),
            ContextOverflow,
        ),
        ((400, {}, '{"error": {"message": "content policy"}}'), TeacherRefused),
        ((401, {}, "no"), TeacherUnusable),
        ((404, {}, "model m not found"), TeacherUnusable),
    ],
)
def test_final_refusals_are_not_repeated(
    answer: Answer, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERA_API_KEY", KEY)
    with serving(answer) as server:
        with pytest.raises(error) as caught:
            ask(server)
        assert len(server.seen) == 1
    assert KEY not in str(caught.value)


def test_request_that_takes_too_long() -> None:
    class Slow(Script):
        def do_POST(self) -> None:
            threading.Event().wait(0.6)
            super().do_POST()

    with serving(GOOD) as server:
        server.RequestHandlerClass = Slow
        with pytest.raises(TeacherError):
            ask(server, timeout=0.2, retries=0)


def test_no_server_is_told_at_once() -> None:
    with serving(GOOD) as server:
        pass
    with pytest.raises(TeacherUnusable, match="Is the server running"):
        ask(server)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x/v1", "http://user:secret@host/v1"])
def test_addresses_that_cannot_be_used(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ChatTeacher(ChatConfig(base_url=url, model="m"))
    assert "secret" not in str(caught.value)


def test_settings_for_the_record_hold_no_address_and_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERA_API_KEY", KEY)
    settings = ChatTeacher(ChatConfig(base_url="http://private.example/v1", model="m")).settings
    assert settings == {"kind": "chat", "model": "m", "temperature": 0.6, "max_tokens": 8192}
