"""What a check asks: the same words and tools that `sera generate` sends, and a few short questions."""

from typing import Any

from sera.formats import find_format
from sera.formats.messages import decode_message, encode_message
from sera.harness import load_profile
from sera.records import Message
from sera.teachers.remote.dialects import ONE_CALL
from sera.teachers.tolerant import read_text

Json = dict[str, Any]
_ROOM = 2048
"""Tokens for an answer with a tool call: enough for a model that thinks first."""
_LONG = 400
"""Lines of an observation that make a prefix long enough for every cache."""


class Requests:
    """Bodies for one model, with tools and calls as the protocol has them, or as text in a format of
    `sera.formats`."""

    def __init__(self, model: str, style: str = "") -> None:
        self._model, self._style = model, style
        self._profile = load_profile()

    def opening(self, seed: int = 1, **more: object) -> Json:
        """A rollout's first call, which any capable model answers by a tool call."""
        return self._body(self._start("List the files of the project with the tool `bash`."), seed, **more)

    def two_calls(self) -> Json:
        """A request for two tool calls in one answer, with the wish for one that `sera generate` sends."""
        wish = "Call `bash` twice in a single answer: once with `ls`, once with `git status`."
        one = {} if self._style else {ONE_CALL: False}
        return self._body(self._start(wish), 1, **one)

    def follow_up(self, answer: Message, **more: object) -> Json:
        """The second call: the first answer and a long observation go back."""
        listing = "\n".join(f"{n:04} src/part_{n % 17}/module_{n}.py" for n in range(_LONG))
        results = [
            Message(role="tool", content=f"OBSERVATION:\n{listing}", tool_call_id=call.id)
            for call in answer.tool_calls
        ]
        start = self._start("List the files of the project with the tool `bash`.")
        return self._body([*start, answer, *results], 1, **more)

    def question(self, text: str, **more: object) -> Json:
        """One question without tools."""
        message = encode_message(Message(role="user", content=text))
        return {"model": self._model, "messages": [message], **more}

    def _start(self, wish: str) -> list[Message]:
        task = self._profile.prompt("task", workdir="/testbed", request=wish)
        return [
            Message(role="system", content=self._profile.prompt("system")),
            Message(role="user", content=task),
        ]

    def read(self, message: Json) -> Json:
        """An answer's message with the calls that stand in its text, if that is how they are written."""
        if not self._style:
            return message
        said = decode_message(message)
        found = read_text(
            f"<think>\n{said.reasoning}\n</think>\n\n" * bool(said.reasoning) + said.content,
            self._profile.tools,
        )
        return encode_message(found)

    def _body(self, messages: list[Message], seed: int, **more: object) -> Json:
        tools = {"tools": self._profile.tools}
        if self._style:
            turns, tools = find_format(self._style).render(messages, self._profile.tools), {}
            messages = [Message(role=turn.role, content=turn.text) for turn in turns]
        return {
            "model": self._model,
            "messages": [encode_message(message) for message in messages],
            **tools,
            "temperature": 0.6,
            "max_tokens": _ROOM,
            "seed": seed,
            **more,
        }
