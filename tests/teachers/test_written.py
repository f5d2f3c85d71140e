"""A teacher that is asked in text: what it is shown is what a dataset of the format shows."""

import asyncio
import json
from typing import Any

import pytest

from sera.formats import find_format
from sera.harness import load_profile
from sera.records import Message, ToolCall, Usage
from sera.teachers.contract import ChatRequest, Reply
from sera.teachers.written import WrittenTeacher

TOOLS = list(load_profile().tools)
CALL = ToolCall(id="call_0", name="bash", arguments='{"command": "ls"}')
HISTORY = (
    Message(role="system", content="You work on code."),
    Message(role="user", content="Mend it."),
    Message(role="assistant", content="I look.", reasoning="First look.", tool_calls=(CALL,)),
    Message(role="tool", content="a.py", tool_call_id="call_0"),
)


class Noting:
    """Notes the request and answers with one text."""

    def __init__(self, text: str, reasoning: str = "", finish: str = "stop") -> None:
        self.text, self.reasoning, self.finish = text, reasoning, finish
        self.asked: ChatRequest | None = None

    async def __aenter__(self) -> "Noting":
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    @property
    def settings(self) -> dict[str, Any]:
        return {"kind": "noting"}

    async def complete(self, request: ChatRequest) -> Reply:
        self.asked = request
        message = Message(role="assistant", content=self.text, reasoning=self.reasoning)
        return Reply(message=message, finish_reason=self.finish, usage=Usage(calls=1, prompt=7, completion=3))


def ask(noting: Noting, style: str) -> Reply:
    request = ChatRequest(messages=HISTORY, tools=TOOLS, seed=5)
    return asyncio.run(WrittenTeacher(noting, style).complete(request))


@pytest.mark.parametrize("style", ["hermes", "xml"])
def test_it_is_shown_what_a_dataset_shows(style: str) -> None:
    noting = Noting("Nothing to do.")
    ask(noting, style)
    assert noting.asked is not None
    assert noting.asked.tools == []
    assert noting.asked.seed == 5
    turns = find_format(style).render(HISTORY, TOOLS)
    assert [(m.role, m.content) for m in noting.asked.messages] == [(turn.role, turn.text) for turn in turns]


@pytest.mark.parametrize("style", ["hermes", "xml"])
def test_what_it_writes_in_the_format_is_the_call_it_means(style: str) -> None:
    message = Message(role="assistant", content="Now this.", reasoning="Hm.", tool_calls=(CALL,))
    [turn] = find_format(style).render([message], TOOLS)
    reply = ask(Noting(turn.text), style)
    assert reply.finish_reason == "tool_calls"
    assert (reply.message.reasoning, reply.message.content) == ("Hm.", "Now this.")
    [call] = reply.message.tool_calls
    assert (call.name, json.loads(call.arguments), call.repair) == ("bash", {"command": "ls"}, "")
    assert call.id not in {one.id for one in HISTORY[2].tool_calls}
    assert reply.usage == Usage(calls=1, prompt=7, completion=3)


def test_reasoning_that_the_server_took_out_is_kept() -> None:
    reply = ask(Noting("Done.", reasoning="Long thought."), "hermes")
    assert (reply.message.reasoning, reply.message.content) == ("Long thought.", "Done.")


def test_an_answer_that_was_cut_off_says_so() -> None:
    reply = ask(Noting('<tool_call>\n{"name": "bash", "arguments": {"comm', finish="length"), "hermes")
    assert reply.finish_reason == "length"
    assert not reply.message.tool_calls


def test_settings_name_the_format() -> None:
    assert WrittenTeacher(Noting(""), "xml").settings == {"kind": "noting", "format": "xml"}
