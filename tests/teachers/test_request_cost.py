"""What one request of 100 KB costs us, in time of our processor."""

import asyncio
import statistics
import time

import msgspec
import pytest
from faulty_server import MODEL, FaultyServer

from sera.records import Message, ToolCall, Usage
from sera.teachers import RemoteConfig
from sera.teachers.contract import ChatRequest, Reply
from sera.teachers.prices import FREE
from sera.teachers.remote import RemoteTeacher

SIZE = 100_000
ROUNDS = 60


def conversation(size: int = SIZE, turns: int = 35) -> ChatRequest:
    """A rollout near its end: calls and observations of source code, `size` characters in all."""
    text = 'def read(path: str) -> str:\n    """Read a file."""\n    return open(path).read()  # größer\n'
    observation = (text * (size // turns // len(text) + 1))[: size // turns - 200]
    messages = [Message(role="system", content="s"), Message(role="user", content="u")]
    for n in range(turns):
        call = ToolCall(id=f"call_{n}", name="bash", arguments='{"command": "cat \\"a b\\" | head -50"}')
        messages += [
            Message(role="assistant", reasoning="I look at the file. " * 5, tool_calls=(call,)),
            Message(role="tool", content=f"OBSERVATION:\n{observation}", tool_call_id=f"call_{n}"),
        ]
    return ChatRequest(messages=tuple(messages), seed=1)


class Brief:
    async def complete(self, request: ChatRequest) -> Reply:
        return Reply(
            message=Message(role="assistant", content="ok"), usage=Usage(calls=1, prompt=9, completion=1)
        )


@pytest.mark.parametrize("dialect", ["chat", "anthropic"])
def test_encoding_takes_far_less_than_two_milliseconds(dialect: str) -> None:
    config = msgspec.convert(
        {"base_url": "http://x/v1", "model": "m", "dialect": dialect, "kind": "chat"}, RemoteConfig
    )
    teacher, request = RemoteTeacher(config), conversation()
    [body] = teacher._encode(request).bodies.values()
    assert len(body) > SIZE * 0.9
    times = []
    for _ in range(ROUNDS):
        started = time.process_time()
        teacher._encode(request)
        times.append(time.process_time() - started)
    print(f"encoding, {dialect}: {statistics.median(times) * 1000:.2f} ms for {len(body)} bytes")
    assert statistics.median(times) < 0.004


def test_a_whole_request_takes_about_two_milliseconds() -> None:
    """Ours, httpx2's, the event loop's, and a small server's in the same process."""

    async def main() -> float:
        request = conversation()
        async with FaultyServer(Brief(), rate=0, price=FREE) as server:
            config = RemoteConfig(base_url=server.base_url, model=MODEL)
            async with RemoteTeacher(config) as teacher:
                for _ in range(5):
                    await teacher.complete(request)
                times = []
                for _ in range(ROUNDS):
                    started = time.process_time()
                    await teacher.complete(request)
                    times.append(time.process_time() - started)
        return statistics.median(times)

    median = asyncio.run(asyncio.wait_for(main(), 60))
    print(f"a whole request, the server's side included: {median * 1000:.2f} ms")
    assert median < 0.01
