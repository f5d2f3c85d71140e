"""What a check asks: the same words and tools that `sera generate` sends, and a few short questions."""

from typing import Any

from sera.formats.messages import encode_message
from sera.harness import load_profile
from sera.records import Message

Json = dict[str, Any]
_ROOM = 2048
"""Tokens for an answer with a tool call: enough for a model that thinks first."""
_LONG = 400
"""Lines of an observation that make a prefix long enough for every cache."""


class Requests:
    """Bodies for one model."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._profile = load_profile()

    def opening(self, seed: int = 1, **more: object) -> Json:
        """A rollout's first call, which any capable model answers by a tool call."""
        return self._body(self._start("List the files of the project with the tool `bash`."), seed, **more)

    def two_calls(self) -> Json:
        """A request for two tool calls in one answer."""
        wish = "Call `bash` twice in a single answer: once with `ls`, once with `git status`."
        return self._body(self._start(wish), 1)

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

    def _body(self, messages: list[Message], seed: int, **more: object) -> Json:
        return {
            "model": self._model,
            "messages": [encode_message(message) for message in messages],
            "tools": self._profile.tools,
            "temperature": 0.6,
            "max_tokens": _ROOM,
            "seed": seed,
            **more,
        }
