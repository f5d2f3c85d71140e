"""The rehearsal teacher: a `Teacher` that plays its part by script.

An answer is a pure function of the request and the configuration. The script of a rollout runs from
its start for every request, fed with the observations that the conversation holds.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from sera.errors import TeacherRefused
from sera.harness import Profile, load_profile
from sera.records import Message, ToolCall, Usage
from sera.teachers.contract import ChatRequest, Reply, Sampling
from sera.teachers.rehearsal.answers import pull_request_answer, self_check_answer
from sera.teachers.rehearsal.config import RehearsalConfig
from sera.teachers.rehearsal.conversation import Conversation, Wording, read_conversation
from sera.teachers.rehearsal.dice import Dice, digest
from sera.teachers.rehearsal.faults import Faults, babble
from sera.teachers.rehearsal.first_rollout import Brief, first_rollout
from sera.teachers.rehearsal.scouting import Scene
from sera.teachers.rehearsal.second_rollout import Fidelity, second_rollout
from sera.teachers.rehearsal.steps import Script, Step, submit
from sera.teachers.rehearsal.voice import say

_MOST_STEPS = 26
"""Usable calls after which a rollout is handed in, come what may."""
_CHARACTERS_PER_TOKEN = 4
_CONDITIONS = frozenset({"latency", "fail_rate", "stall_rate"})


class RehearsalTeacher:
    """Answers every conversation of a generation run. See `docs/rehearsal.md`."""

    def __init__(self, config: RehearsalConfig | None = None, profile: Profile | None = None) -> None:
        self._config = config or RehearsalConfig()
        self._wording = Wording(profile or load_profile())
        self._faults = Faults(self._config)

    async def __aenter__(self) -> "RehearsalTeacher":
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    @property
    def settings(self) -> dict[str, Any]:
        """Every knob that decides what is said, not how fast or how reliably."""
        settings: dict[str, Any] = msgspec.to_builtins(self._config)
        return {name: value for name, value in settings.items() if name not in _CONDITIONS}

    async def complete(self, request: ChatRequest) -> Reply:
        """Continue a conversation. `TeacherError` only by `fail_rate`; never returns by `stall_rate`."""
        await self._faults.suffer(self._dice(request))
        return _bounded(self.answer(request), request.sampling)

    def answer(self, request: ChatRequest) -> Reply:
        """The answer itself: pure, without faults of time."""
        dice = self._dice(request)
        message = self._message(request, dice)
        finish = "tool_calls" if message.tool_calls else "stop"
        if dice.chance(self._config.babble_rate, "babbles"):
            message, finish = babble(dice, message)
        return Reply(message=message, finish_reason=finish, usage=_usage(request.messages, message))

    def _dice(self, request: ChatRequest) -> Dice:
        """Chance of this one request."""
        contents = (f"{m.role}:{m.content}" for m in (*request.messages[:2], *request.messages[-2:]))
        return Dice(digest(self._config.seed, request.seed, len(request.messages), *contents))

    def _message(self, request: ChatRequest, dice: Dice) -> Message:
        conversation = read_conversation(request.messages, self._wording)
        if self._wording.self_check.search(conversation.last):
            rejects = dice.chance(self._config.reject_rate, "rejects")
            return _said(self_check_answer(conversation, dice, rejects))
        if asked := self._wording.pull_request.search(conversation.last):
            return _said(pull_request_answer(conversation, asked["demonstration"], dice, self._wording))
        if not request.tools:
            return _said(say(dice, "answers.idle"))
        return self._act(conversation, request, dice)

    def _act(self, conversation: Conversation, request: ChatRequest, dice: Dice) -> Message:
        rollout = Dice(digest(self._config.seed, request.seed, conversation.opening))
        step = next_step(self._script(conversation, rollout), conversation)
        if step.tool not in (offered := [str(tool["function"]["name"]) for tool in request.tools]):
            raise TeacherRefused(
                f"the rehearsal would call {step.tool}, and is offered {', '.join(offered)}: it plays agents "
                f"with the tools of sera's harness profiles only"
            )
        arguments = msgspec.json.encode(step.arguments).decode()
        call = ToolCall(id=f"call_{dice.key}", name=step.tool, arguments=arguments)
        return Message(role="assistant", content=step.content, reasoning=step.reasoning, tool_calls=(call,))

    def _script(self, conversation: Conversation, dice: Dice) -> Script[None]:
        scene = Scene(conversation.workdir, dice)
        if change := self._wording.change.search(conversation.request):
            return first_rollout(read_brief(change.groupdict(), self._wording), scene)
        return second_rollout(conversation.request, scene, self.fidelity(dice))

    def fidelity(self, dice: Dice) -> Fidelity:
        """How faithful the second rollout with these dice is meant to be."""
        throw = dice.unit("fidelity")
        if throw < self._config.same:
            return Fidelity.SAME
        return Fidelity.PARTIAL if throw < self._config.same + self._config.partial else Fidelity.ELSEWHERE


def read_brief(fields: dict[str, str], wording: Wording) -> Brief:
    """The request of T1 from the placeholders of its template."""
    line = fields.get("line", "")
    concern = fields.get("concern", "").strip()
    return Brief(
        function=fields.get("function", ""),
        path=fields.get("path", ""),
        line=int(line) if line.isdecimal() else 1,
        concern=concern,
        category=wording.categories.get(concern, ""),
    )


def next_step(script: Script[None], conversation: Conversation) -> Step:
    """Run a script up to the end of the conversation; once it has ended, hand in."""
    if len(conversation.turns) >= _MOST_STEPS:
        return submit()
    try:
        step = next(script)
        for turn in conversation.turns:
            step = script.send(turn.observation)
    except StopIteration:
        return submit()
    return step


def _bounded(reply: Reply, sampling: Sampling) -> Reply:
    """The answer, ended where the asker wants it to. Chance is none of a model's: a temperature changes
    nothing."""
    message, most = reply.message, sampling.max_tokens
    if sampling.must_call and not message.tool_calls:
        raise TeacherRefused("the rehearsal calls no tool here: ask with tool_choice auto")
    if found := [at for stop in sampling.stop if (at := message.content.find(stop)) >= 0]:
        reply = Reply(message=_said(message.content[: min(found)]), usage=reply.usage)
    if most and reply.usage.completion > most:
        said = _said(reply.message.content[: most * _CHARACTERS_PER_TOKEN])
        usage = msgspec.structs.replace(reply.usage, completion=most)
        reply = Reply(message=said, finish_reason="length", usage=usage)
    return reply


def _said(text: str) -> Message:
    return Message(role="assistant", content=text)


def _usage(messages: Sequence[Message], answer: Message) -> Usage:
    """Tokens, four characters each. What stood before the last answer is cached."""
    sizes = [_tokens(message) for message in messages]
    answers = [n for n, message in enumerate(messages) if message.role == "assistant"]
    known = sum(sizes[: answers[-1] + 1]) if answers else 0
    return Usage(calls=1, prompt=sum(sizes), cached=known, completion=_tokens(answer))


def _tokens(message: Message) -> int:
    arguments = sum(len(call.name) + len(call.arguments) for call in message.tool_calls)
    return (len(message.content) + len(message.reasoning) + arguments) // _CHARACTERS_PER_TOKEN + 4
