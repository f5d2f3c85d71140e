"""The endpoint: what the protocol asks for, through the ASGI application and over a real socket."""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
import msgspec
import pytest
from rehearsal_playing import PROFILE

from sera.records import Message
from sera.teachers.chat_wire import encode_request
from sera.teachers.contract import ChatRequest
from sera.teachers.rehearsal import RehearsalConfig, RehearsalTeacher
from sera.teachers.remote import RemoteConfig, RemoteTeacher
from sera.teachers.server import make_app

REQUEST = ChatRequest(
    messages=(
        Message(role="user", content=PROFILE.prompt("task", workdir="/testbed", request="`x` is slow")),
    ),
    tools=PROFILE.tools,
    seed=3,
)
COMPLETIONS = "/v1/chat/completions"


def call(method: str, path: str, config: RehearsalConfig | None = None, **given: Any) -> httpx2.Response:
    async def send() -> httpx2.Response:
        transport = httpx2.ASGITransport(app=make_app(RehearsalTeacher(config), "rehearsal"))
        async with httpx2.AsyncClient(transport=transport, base_url="http://rehearsal") as client:
            return await client.request(method, path, **given)

    return asyncio.run(send())


def test_an_answer_is_the_one_given_in_process() -> None:
    response = call("POST", COMPLETIONS, json=encode_request(REQUEST, "m"))
    reply = RehearsalTeacher().answer(REQUEST)
    body = response.json()
    message = body["choices"][0]["message"]
    assert response.status_code == 200
    assert body["model"] == "m"
    assert message["reasoning_content"] == reply.message.reasoning
    assert message["tool_calls"][0]["function"]["arguments"] == reply.message.tool_calls[0].arguments
    assert body["usage"]["prompt_tokens"] == reply.usage.prompt
    assert response.content == call("POST", COMPLETIONS, json=encode_request(REQUEST, "m")).content


def test_a_stream_adds_up_to_the_whole() -> None:
    body = encode_request(REQUEST, "m", stream=True, stream_options={"include_usage": True})
    response = call("POST", COMPLETIONS, json=body)
    events = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    assert response.headers["content-type"].startswith("text/event-stream")
    assert events[-1] == "[DONE]"
    chunks = [msgspec.json.decode(event) for event in events[:-1]]
    assert chunks[-1]["choices"] == []
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-1]]
    reply = RehearsalTeacher().answer(REQUEST)
    assert "".join(d.get("reasoning_content", "") for d in deltas) == reply.message.reasoning
    calls = [d["tool_calls"][0] for d in deltas if "tool_calls" in d]
    assert calls[0]["id"] == reply.message.tool_calls[0].id
    arguments = "".join(c["function"]["arguments"] for c in calls)
    assert arguments == reply.message.tool_calls[0].arguments
    assert chunks[-2]["choices"][0]["finish_reason"] == "tool_calls"
    assert chunks[-1]["usage"]["completion_tokens"] == reply.usage.completion


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b"[" * 100_000, "not a JSON object"),
        (b'{"messages": ' + b"[" * 5000 + b"]" * 5000 + b"}", "not a JSON object"),
        (b'{"messages": "\xff"}', "not a JSON object"),
        (b"{}", "messages must be a list"),
        (b'{"messages": [3]}', "cannot be read"),
        (b'{"messages": [{"role": "user"}], "seed": "x"}', "cannot be read"),
    ],
)
def test_a_malformed_body_is_refused_with_a_reason(content: bytes, said: str) -> None:
    response = call("POST", COMPLETIONS, content=content)
    assert response.status_code == 400
    assert said in response.json()["error"]["message"]


def test_other_addresses() -> None:
    assert call("GET", "/health").json() == {"status": "ok"}
    assert call("GET", "/v1/models").json()["data"][0]["id"] == "rehearsal"
    assert call("GET", "/v1/nothing").status_code == 404
    assert call("GET", COMPLETIONS).status_code == 405
    assert "error" in call("GET", "/v1/nothing").json()


def test_a_failure_on_purpose_is_a_500() -> None:
    response = call("POST", COMPLETIONS, RehearsalConfig(fail_rate=1.0), json=encode_request(REQUEST, "m"))
    assert response.status_code == 500
    assert response.json()["error"]["type"] == "server_error"


def test_served_over_loopback_to_our_own_client_until_it_is_told_to_stop() -> None:
    code = (
        "from sera.teachers.rehearsal import RehearsalConfig, RehearsalTeacher\n"
        "from sera.teachers.server import serve\n"
        "serve(RehearsalTeacher(RehearsalConfig(stall_rate=0.3, fail_rate=0.2)), 'rehearsal')"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            base_url = process.stdout.readline().strip()
            asyncio.run(_stall_and_answer(base_url))
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=15) == 0


async def _stall_and_answer(base_url: str) -> None:
    """Some requests stall until we leave, some fail; our own client gets through in the end."""
    stalled = 0
    async with httpx2.AsyncClient(timeout=0.5) as client:
        for seed in range(12):
            body = encode_request(msgspec.structs.replace(REQUEST, seed=seed), "m")
            try:
                await client.post(f"{base_url}/chat/completions", json=body)
            except httpx2.ReadTimeout:
                stalled += 1
    assert stalled > 0
    config = RemoteConfig(base_url=base_url, model="rehearsal", timeout=0.5, retries=20)
    async with RemoteTeacher(config) as teacher:
        reply = await teacher.complete(REQUEST)
    assert reply.message == RehearsalTeacher().answer(REQUEST).message


def test_a_body_without_an_end_is_refused() -> None:
    came = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal came
        while True:
            came += 1 << 20
            yield b" " * (1 << 20)

    response = call("POST", COMPLETIONS, content=body())
    assert response.status_code == 413
    assert "67,108,864 bytes" in response.json()["error"]["message"]
    assert came < 80 << 20


def test_a_client_that_leaves_in_the_middle_of_its_request_is_no_error() -> None:
    came = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])
    sent: list[Any] = []

    async def receive() -> Any:
        return next(came)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": COMPLETIONS, "headers": [], "query_string": b""}
    asyncio.run(make_app(RehearsalTeacher(), "rehearsal")(scope, receive, send))
    assert sent[0]["status"] == 499


def test_whoever_reads_the_address_can_connect_at_once() -> None:
    """It is told when connections are taken, not a moment before."""
    code = (
        "from sera.teachers.rehearsal import RehearsalTeacher\n"
        "from sera.teachers.server import serve\n"
        "serve(RehearsalTeacher(), 'rehearsal')"
    )
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                address = urlsplit(process.stdout.readline().strip())
                socket.create_connection((str(address.hostname), int(address.port or 0)), 10).close()
            finally:
                process.terminate()
