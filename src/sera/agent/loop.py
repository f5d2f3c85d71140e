"""The agent's loop: ask the teacher, run its one tool call, show it the observation, until it ends.

    system, user ─► teacher ─► read_call ─┬─► toolbox ─► observation ─┐
                       ▲                  └─► what was wrong ─────────┤
                       └──────────────────────────────────────────────┘

`run_rollout` returns whatever ends the rollout as an `End`, and the trajectory up to there is kept. The
wall clock of a rollout has its one owner here; the time of a command belongs to the sandbox, that of
a request to the teacher. With a `Memory` an interrupted rollout goes on from its last step.

No secret gets into a message, the patch or an error; a reply loses its own before it is run or recorded.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from sera.agent.calls import Call, Malformed, read_call
from sera.agent.config import AgentConfig
from sera.agent.memory import Forgetful, Memory, replied
from sera.agent.tools import Toolbox
from sera.errors import ContextOverflow, ReplayDiverged, RolloutError
from sera.harness import Profile
from sera.records import Answered, End, Message, ToolCall, Usage
from sera.redaction import OFF, Redactor, clean_message
from sera.sandboxes.contract import Sandbox, Taken
from sera.teachers.contract import ChatRequest, Reply, Teacher


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a rollout came to."""

    end: End
    messages: tuple[Message, ...]
    patch: str = ""
    left_out: int = 0
    products: tuple[str, ...] = ()
    """As in the record of a rollout."""
    usage: Usage = Usage()
    error: str = ""
    failure: RolloutError | None = None
    """For the end `FAILED`: what broke. Unlike `error` it may hold secrets."""


async def _at_once() -> None:
    """Permission to go on that is always given."""


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """What all rollouts of a run have in common."""

    teacher: Teacher
    profile: Profile
    config: AgentConfig
    permission: Callable[[], Awaitable[None]] = _at_once
    """Awaited before every request to the teacher: may wait (paused), or raise `Halted`."""
    redactor: Redactor = OFF
    """Takes secrets out of every text."""
    project: tuple[str, ...] = ()
    """Names under which a copy of the project would be installed, for the audit."""

    async def ask(self, messages: Sequence[Message], seed: int) -> Reply:
        """The teacher's reply to a conversation, without secrets."""
        request = ChatRequest(messages=tuple(messages), tools=self.profile.tools, seed=seed)
        reply = await self.teacher.complete(request)
        return msgspec.structs.replace(reply, message=clean_message(reply.message, self.redactor))


async def run_rollout(
    agent: Agent, sandbox: Sandbox, request: str, seed: int, memory: Memory | None = None
) -> Outcome:
    """One rollout for `request` in a fresh `sandbox`.

    Raises `ReplayDiverged` if what `memory` holds cannot be rebuilt, and `Halted` when permission is
    refused; every other failure is the end `FAILED`.
    """
    rollout = _Rollout(agent, sandbox, request, seed, memory or Forgetful())
    taken, error, failure = Taken(), "", None
    try:
        async with asyncio.timeout(agent.config.wall_clock) as clock:
            end = await rollout.converse(clock)
            if end is End.SUBMITTED:
                taken = await sandbox.take_patch()
    except TimeoutError:
        end = End.WALL_CLOCK
    except ContextOverflow:
        end = End.CONTEXT
    except ReplayDiverged:
        raise
    except RolloutError as problem:
        end, error, failure = End.FAILED, f"{type(problem).__name__}: {problem}", problem
    patch, error, *products = map(agent.redactor.clean, (taken.patch, error, *taken.products))
    return Outcome(
        end=end,
        messages=tuple(rollout.messages),
        patch=patch,
        left_out=taken.left_out,
        products=tuple(products),
        usage=rollout.usage,
        error=error,
        failure=failure,
    )


class _Rollout:
    """One rollout while it runs; its messages are kept when it is broken off."""

    def __init__(self, agent: Agent, sandbox: Sandbox, request: str, seed: int, memory: Memory) -> None:
        self._agent = agent
        self._sandbox = sandbox
        self._seed = seed
        self._memory = memory
        self._toolbox = Toolbox(sandbox, agent.profile, agent.config, agent.redactor)
        self._tree = ""
        """The tree after the last remembered step, until it has been compared."""
        task = agent.profile.prompt("task", workdir=sandbox.workdir, request=request)
        self.messages = [
            Message(role=role, content=agent.redactor.clean(text))
            for role, text in (("system", agent.profile.prompt("system")), ("user", task))
        ]
        self.usage = Usage()

    async def converse(self, clock: asyncio.Timeout) -> End:
        """Step after step until one is the last."""
        malformed = 0
        for number in range(self._agent.config.step_limit):
            reply = await self._reply(number, clock)
            call = self._read(number, reply)
            if isinstance(call, Malformed):
                malformed += 1
                await self._refuse(number, reply, call)
                if malformed == self._agent.config.malformed_limit:
                    return End.MALFORMED
                continue
            malformed = 0
            observation = await self._toolbox.use(call)
            self.messages.append(reply.message)
            answer = _answer(reply.message.tool_calls[0], observation.text, self._agent.profile)
            await self._observe(number, answer)
            if observation.final:
                await self._check_tree()
                return End.SUBMITTED
        return End.STEP_LIMIT

    def _read(self, number: int, reply: Reply) -> Call | Malformed:
        """The call of a reply. One that was refused the first time is refused again, though it may be read by
        now: nothing was run for it."""
        known = self._memory.answer(number)
        call = read_call(reply, self._agent.profile)
        return Malformed("") if known and not known.tree and isinstance(call, Call) else call

    async def _reply(self, number: int, clock: asyncio.Timeout) -> Reply:
        """The teacher's reply, remembered or asked for; the tree is checked where memory ends."""
        known = self._memory.reply(number)
        if not (known and self._memory.answer(number)):
            await self._check_tree()
        if known:
            reply = Reply(message=known.message, finish_reason=known.finish_reason, usage=known.usage)
        else:
            await self._wait_for_permission(clock)
            reply = await self._agent.ask(self.messages, self._seed)
        self.usage += reply.usage
        if not known:
            await self._memory.remember(replied(number, reply))
        return reply

    async def _wait_for_permission(self, clock: asyncio.Timeout) -> None:
        """Time spent paused is not the rollout's."""
        loop = asyncio.get_running_loop()
        end, before = clock.when(), loop.time()
        clock.reschedule(None)
        await self._agent.permission()
        clock.reschedule(None if end is None else end + loop.time() - before)

    async def _observe(self, number: int, answer: Message) -> None:
        """Show what a tool answered: as it was seen the first time, if there was one."""
        if known := self._memory.answer(number):
            self.messages += known.messages
            self._tree = known.tree
            return
        tree = await self._sandbox.state()
        await self._memory.remember(Answered(number=number, messages=(answer,), tree=tree))
        self.messages.append(answer)

    async def _refuse(self, number: int, reply: Reply, problem: Malformed) -> None:
        message, *answers = _reject(reply, problem, self._agent.profile)
        known = self._memory.answer(number)
        if not known:
            known = Answered(number=number, messages=tuple(answers), tree="")
            await self._memory.remember(known)
        self.messages += [message, *known.messages]

    async def _check_tree(self) -> None:
        """Once, after the last remembered step."""
        if self._tree and await self._sandbox.state(like=self._tree) != self._tree:
            raise ReplayDiverged("the tree could not be rebuilt from the recorded commands")
        self._tree = ""


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
