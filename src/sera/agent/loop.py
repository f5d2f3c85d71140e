"""The agent's loop: ask the teacher, run its one tool call, show it the observation, until it ends.

    system, user ─► teacher ─► read_call ─┬─► toolbox ─► observation ─┐
                       ▲                  └─► what was wrong ─────────┤
                       └──────────────────────────────────────────────┘

`run_rollout` always returns: whatever ends the rollout is an `End`, and the trajectory up to there
is kept. The wall clock of a rollout has its one owner here; the time of a command belongs to the
sandbox, that of a request to the teacher.
"""

import asyncio

import msgspec

from sera.agent.calls import Call, Malformed, read_call
from sera.agent.config import AgentConfig
from sera.agent.tools import Observation, Toolbox
from sera.errors import ContextOverflow, RolloutError
from sera.harness import Profile
from sera.records import End, Message, ToolCall, Usage
from sera.sandboxes.contract import Sandbox
from sera.teachers.contract import ChatRequest, Reply, Teacher


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a rollout came to."""

    end: End
    messages: tuple[Message, ...]
    patch: str = ""
    usage: Usage = Usage()
    error: str = ""


class _Trail:
    """What a rollout leaves behind while it runs: kept when it is broken off."""

    def __init__(self, *opening: Message) -> None:
        self.messages = list(opening)
        self.usage = Usage()


async def run_rollout(
    teacher: Teacher, sandbox: Sandbox, profile: Profile, config: AgentConfig, request: str, seed: int
) -> Outcome:
    """One rollout for `request` in a fresh `sandbox`. Never raises a `RolloutError`."""
    trail = _Trail(
        Message(role="system", content=profile.prompt("system")),
        Message(role="user", content=profile.prompt("task", workdir=sandbox.workdir, request=request)),
    )
    patch, error = "", ""
    try:
        async with asyncio.timeout(config.wall_clock):
            end = await _converse(trail, teacher, Toolbox(sandbox, profile, config), profile, config, seed)
            patch = await sandbox.patch() if end is End.SUBMITTED else ""
    except TimeoutError:
        end = End.WALL_CLOCK
    except ContextOverflow:
        end = End.CONTEXT
    except RolloutError as problem:
        end, error = End.FAILED, f"{type(problem).__name__}: {problem}"
    return Outcome(end=end, messages=tuple(trail.messages), patch=patch, usage=trail.usage, error=error)


async def _converse(
    trail: _Trail, teacher: Teacher, toolbox: Toolbox, profile: Profile, config: AgentConfig, seed: int
) -> End:
    malformed = 0
    for _ in range(config.step_limit):
        request = ChatRequest(messages=tuple(trail.messages), tools=profile.tools, seed=seed)
        reply = await teacher.complete(request)
        trail.usage += reply.usage
        call = read_call(reply, profile)
        if isinstance(call, Malformed):
            malformed += 1
            trail.messages += _reject(reply, call, profile)
            if malformed == config.malformed_limit:
                return End.MALFORMED
            continue
        malformed = 0
        observation = await _act(call, reply, toolbox, trail, profile)
        if observation.final:
            return End.SUBMITTED
    return End.STEP_LIMIT


async def _act(call: Call, reply: Reply, toolbox: Toolbox, trail: _Trail, profile: Profile) -> Observation:
    trail.messages.append(reply.message)
    observation = await toolbox.use(call)
    trail.messages.append(_answer(reply.message.tool_calls[0], observation.text, profile))
    return observation


def _reject(reply: Reply, problem: Malformed, profile: Profile) -> list[Message]:
    """The reply as it came, and an answer to each call in it, or to the missing one."""
    calls = reply.message.tool_calls
    if not calls:
        text = profile.say("prefix") + problem.observation
        return [reply.message, Message(role="user", content=text)]
    if problem.unparsed:
        broken = msgspec.structs.replace(calls[0], malformed=True)
        reply = msgspec.structs.replace(
            reply, message=msgspec.structs.replace(reply.message, tool_calls=(broken,))
        )
    first, *others = calls
    return [
        reply.message,
        _answer(first, problem.observation, profile),
        *(_answer(call, profile.say("not_run"), profile) for call in others),
    ]


def _answer(call: ToolCall, text: str, profile: Profile) -> Message:
    return Message(role="tool", content=profile.say("prefix") + text, tool_call_id=call.id)
