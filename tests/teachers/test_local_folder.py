"""A folder of weights, run by transformers in this process."""

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from training_support import SHAPE, write_tokenizer

from sera.errors import TeacherRefused
from sera.harness import load_profile
from sera.records import Message
from sera.teachers import ChatRequest, LocalConfig, make_teacher
from sera.teachers.contract import Reply, Sampling
from sera.teachers.local import LocalTeacher
from sera.teachers.local.transformers import _TransformersTeacher

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n"
)


def asked(text: str, seed: int = 1) -> ChatRequest:
    return ChatRequest(messages=(Message(role="user", content=text),), seed=seed)


class Slow:
    """A model that answers only when it is given up."""

    def __init__(self) -> None:
        self.at_work = 0
        self.seen: list[tuple[str, int]] = []

    def answer(self, request: ChatRequest, given_up: threading.Event) -> Reply:
        self.at_work += 1
        text = request.messages[0].content
        self.seen.append((text, self.at_work))
        if text == "long":
            assert given_up.wait(20)
            time.sleep(0.05)
        self.at_work -= 1
        return Reply(message=Message(role="assistant", content=text))


def test_a_cancelled_request_ends_before_the_next_begins() -> None:
    model = Slow()

    async def main() -> str:
        with ThreadPoolExecutor(1) as thread:
            teacher: Any = _TransformersTeacher(model, thread)  # type: ignore[arg-type]
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await teacher.complete(asked("long"))
            return str((await teacher.complete(asked("short"))).message.content)

    assert asyncio.run(asyncio.wait_for(main(), 30)) == "short"
    assert model.seen == [("long", 1), ("short", 1)]


class Texts:
    """An engine that writes the same call again and again."""

    async def complete(self, request: ChatRequest) -> Reply:
        text = '<tool_call>\n{"name": "bash", "arguments": {"command": "ls"}}\n</tool_call>'
        return Reply(message=Message(role="assistant", content=text))


def test_calls_read_from_text_have_ids_of_their_own(folder: Path) -> None:
    teacher = LocalTeacher(LocalConfig(model=str(folder)))
    teacher._engine = Texts()  # type: ignore[assignment]
    tools, messages = list(load_profile().tools), (Message(role="user", content="go"),)
    for _ in range(3):
        reply = asyncio.run(teacher.complete(ChatRequest(messages=messages, tools=tools)))
        messages = (*messages, reply.message)
    ids = [call.id for message in messages for call in message.tool_calls]
    assert ids == ["call_0", "call_0_2", "call_0_3"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with random weights."""
    torch = pytest.importorskip("torch")
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("weights") / "tiny"
    folder.mkdir()
    write_tokenizer(folder)
    told = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(told | {"chat_template": TEMPLATE}))
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**SHAPE)).save_pretrained(folder)
    return folder


def test_a_second_request_reads_only_what_is_new(folder: Path) -> None:
    config = LocalConfig(model=str(folder), max_tokens=40, threads=1)

    async def main() -> tuple[Reply, Reply, Reply]:
        async with make_teacher(config) as teacher:
            first = await teacher.complete(asked("hello"))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await teacher.complete(asked("hello"))
            return first, await teacher.complete(asked("hello")), await teacher.complete(asked("hello", 2))

    first, again, other = asyncio.run(asyncio.wait_for(main(), 120))
    assert len({one.message.content for one in (first, again, other)}) > 1, "the seed counts"
    assert (first.usage.cached, again.usage.cached) == (0, first.usage.prompt - 1)
    assert 0 < first.usage.completion <= 40


def test_a_folder_is_heard_and_ends_as_it_is_told(folder: Path) -> None:
    config = LocalConfig(model=str(folder), max_tokens=40, threads=1, temperature=0)
    heard: list[str] = []

    async def main() -> tuple[Reply, Reply, Reply]:
        async with make_teacher(config) as teacher:
            plain = asked("hello")
            whole = await teacher.complete(msgspec.structs.replace(plain, hear=heard.append))
            short = await teacher.complete(msgspec.structs.replace(plain, sampling=Sampling(max_tokens=5)))
            letter = next(one for one in whole.message.content[3:] if one.isascii() and one.isprintable())
            stop = Sampling(stop=(letter,))
            stopped = await teacher.complete(msgspec.structs.replace(plain, sampling=stop))
            with pytest.raises(TeacherRefused, match="no tool call can be demanded"):
                await teacher.complete(msgspec.structs.replace(plain, sampling=Sampling(must_call=True)))
            return whole, short, stopped

    whole, short, stopped = asyncio.run(asyncio.wait_for(main(), 120))
    told = "".join(heard)
    assert told
    assert whole.message.content.startswith(told)
    assert (short.usage.completion, short.finish_reason) == (5, "length")
    assert stopped.finish_reason == "stop"
    assert whole.message.content.startswith(stopped.message.content)
    assert stopped.usage.completion < whole.usage.completion
