"""The check from beginning to end: what is asked, in which order, and when to stop.

A failure that makes the rest pointless ends it: nobody there, no key, no such model. The whole check
has one time limit; what was found until then is kept.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Literal

import msgspec

from sera.formats.messages import decode_message
from sera.records import Message, Record
from sera.redaction.addresses import shown
from sera.teachers.checkup import judge
from sera.teachers.checkup.findings import Checkup, Finding, Speed, good, note, problem
from sera.teachers.checkup.probe import Answer, Probe, part
from sera.teachers.checkup.requests import Requests
from sera.teachers.checkup.speed import measure
from sera.teachers.remote import Endpoint

_LEVELS = (1, 8, 32)
_TRIES = 2
"""Times a model is asked for a tool call before it is held to make none."""
_SHORT, _HUGE = 16, 2**20
"""Tokens of an answer: enough for a word, and more than servers have room for."""
_ENDS = (" ", "\n", ".")
"""Where an answer ends for which so much was asked, should a server take that."""
_FIRST_PROBE, _LAST_PROBE = 8_192, 262_144
_REFUSED = (401, 402, 403)


class Examined(Record, frozen=True):
    """What is to be checked."""

    endpoint: Endpoint
    model: str
    timeout: float = 60.0
    """Seconds of one request."""
    time_limit: float = 300.0
    """Seconds of the whole check."""
    speeds: tuple[int, ...] = _LEVELS
    """Requests at once whose speed is measured."""
    format: Literal["", "hermes", "xml"] = ""
    """How a student writes tools and calls into its text, if it does; as `teacher.format`."""
    probe_context: bool = False
    """Whether to send long prompts where the server does not tell its context."""


async def check_endpoint(examined: Examined) -> Checkup:
    """Look at everything. Raises `ConfigError` for an address or key that cannot be used."""
    findings: list[Finding] = []
    speeds: list[Speed] = []
    async with Probe(examined.endpoint, examined.timeout) as probe:
        check = _Check(probe, examined)
        try:
            async with asyncio.timeout(examined.time_limit):
                async for found in check.look():
                    findings.append(found)
                    if found.needed and found.state == "problem" and found.name in _POINTLESS:
                        break
                else:
                    for level in examined.speeds:
                        speeds.append(await measure(probe, check.requests, level))
        except TimeoutError:
            cure = "--time-limit gives it more, --timeout gives one request less"
            findings.append(problem("time", f"the check took over {examined.time_limit:g} s", cure))
    return Checkup(
        base_url=shown(probe.base_url), model=examined.model, findings=tuple(findings), speeds=tuple(speeds)
    )


_POINTLESS = ("reachable", "key", "answers")
"""Findings after whose failure nothing else can succeed."""


class _Check:
    """The conversation with one endpoint."""

    def __init__(self, probe: Probe, examined: Examined) -> None:
        self.requests = Requests(examined.model, examined.format)
        self._probe, self._examined = probe, examined

    async def look(self) -> AsyncIterator[Finding]:
        """One finding after another."""
        models = await self._probe.get("/models")
        yield self._reachable(models)
        yield judge.listed(models, self._examined.model)
        first = await self._first()
        yield self._answers(first)
        yield self._key()
        yield judge.named(first, self._examined.model)
        yield judge.tool_calls(first)
        yield judge.arguments(first)
        yield judge.reasoning(first)
        async for found in self._history(first):
            yield found
        if not self._examined.format:
            yield judge.several(await self._probe.chat(self.requests.two_calls()))
            stream = self.requests.opening(stream=True, stream_options={"include_usage": True})
            yield judge.streaming(await self._probe.chat(stream))
        yield await self._context(models)
        body = self.requests.question("Name any number.", seed=7, temperature=1.0, max_tokens=_SHORT * 3)
        yield judge.seeded(await self._probe.chat(body), await self._probe.chat(body))

    def _reachable(self, models: Answer) -> Finding:
        if not models.status or models.html:
            return judge.failed("reachable", models, self._probe.key_name)
        if models.status in _REFUSED:
            return judge.failed("key", models, self._probe.key_name)
        return good("reachable", shown(self._probe.base_url))

    def _answers(self, first: Answer) -> Finding:
        if not first.message:
            return judge.failed("answers", first, self._probe.key_name)
        return good("answers", f"in {first.seconds:.1f} s")

    def _key(self) -> Finding:
        if self._probe.key:
            return good("key", f"the one in {self._probe.key_name} is accepted")
        return note("key", f"none was sent, since {self._probe.key_name} is not set, and none was wanted")

    async def _first(self) -> Answer:
        """The answer to a rollout's first call: the first with a tool call, else the last."""
        answer = Answer()
        for seed in range(1, _TRIES + 1):
            answer = self._read(await self._probe.chat(self.requests.opening(seed)))
            if answer.calls or not answer.message:
                break
        return answer

    def _read(self, answer: Answer) -> Answer:
        """The answer with the calls that a student has written into its text."""
        if not (self._examined.format and answer.message):
            return answer
        message = self.requests.read(answer.message)
        return msgspec.structs.replace(answer, body=answer.body | {"choices": [{"message": message}]})

    async def _history(self, first: Answer) -> AsyncIterator[Finding]:
        """The second call of a rollout, and the same once more."""
        answer = _as_message(first)
        second = await self._probe.chat(self.requests.follow_up(answer, max_tokens=_SHORT))
        if second.message:
            yield good("history", "an earlier tool call and its result are accepted")
        else:
            yield judge.failed("history", second, self._probe.key_name)
        again = await self._probe.chat(self.requests.follow_up(answer, max_tokens=_SHORT))
        yield judge.usage(second)
        yield judge.cached(second, again)

    async def _context(self, models: Answer) -> Finding:
        """From the list of models, else from a refusal of an absurd length, else by long prompts."""
        for entry in judge.entries(models):
            if entry.get("id") == self._examined.model and (size := judge.room_of(entry)):
                return judge.context(size, "listed")
        props = await self._probe.get_beside("/props")  # llama.cpp's
        size = part(props.body, "default_generation_settings").get("n_ctx")
        if isinstance(size, int) and size > 0:
            return judge.context(size, "n_ctx of llama.cpp, for one conversation")
        greedy = self.requests.question("Say yes.", max_tokens=_HUGE, stop=_ENDS)
        if size := judge.limit_in(await self._probe.chat(greedy)):
            return judge.context(size, "from the words of a refusal")
        if self._examined.probe_context:
            return judge.context(await self._longest(), "the longest prompt tried that was accepted")
        return judge.context(None, "")

    async def _longest(self) -> int:
        """Tokens of the longest prompt that was accepted, doubling; a token is about one short word."""
        accepted, size = 0, _FIRST_PROBE
        while size <= _LAST_PROBE:
            answer = await self._probe.chat(self.requests.question("word " * size, max_tokens=1))
            if not answer.ok:
                return judge.limit_in(answer) or accepted
            accepted, size = size, size * 2
        return accepted


def _as_message(answer: Answer) -> Message:
    """The answer as sera would keep it; a made-up call if it holds none, so that history can be tried."""
    readable = answer.calls and all(part(call, "function") for call in answer.calls)
    return decode_message(answer.message if readable else _MADE_UP)


_MADE_UP = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {"id": "call_1", "type": "function", "function": {"name": "bash", "arguments": '{"command": "ls"}'}}
    ],
}
