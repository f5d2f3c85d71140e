"""The steps of Soft Verified Generation, each done once: looked up in the run, or made and recorded.

A step that breaks (`RolloutError`) is recorded as far as it got and raised; the next run of the same
command takes it up there. A rollout goes on from its last recorded step; only if its tree cannot be
rebuilt in a fresh sandbox is it begun anew.
"""

import time
from collections.abc import Callable, Mapping

import msgspec

from sera.agent import Agent, Outcome, run_rollout
from sera.agent.audit import audit
from sera.errors import ContextOverflow, ReplayDiverged, RolloutError
from sera.generation.answers import read_block, read_verdict
from sera.records import (
    End,
    Message,
    PullRequest,
    Rollout,
    Stage,
    Task,
    Usage,
    Verdict,
    content_id,
)
from sera.redaction import placeholders
from sera.runs import Run, Trail
from sera.sandboxes.contract import Backend

_ASKS = 2
"""Times a question is put before an unreadable answer is taken as it is."""
_SEED_DIGITS = 7
"""Hex digits of a rollout's seed: small enough for every server."""


class Steps:
    """What `svg` asks for, over one run with one teacher and one sandbox backend."""

    def __init__(self, run: Run, agent: Agent, backend: Backend, demonstrations: Mapping[str, str]) -> None:
        self._run = run
        self._agent = agent
        self._backend = backend
        self._demonstrations = demonstrations

    async def first_rollout(self, task: Task, attempt: int) -> Rollout:
        """T1: from a concern about the task's function."""
        category = task.categories[attempt]
        request = self._run.profile.prompt(
            "change",
            function=task.function.name,
            path=task.function.path,
            line=task.function.line,
            concern=self._run.profile.categories[category],
        )
        return await self._rollout(self._order(task, Stage.T1, attempt, request, category))

    async def second_rollout(self, task: Task, pull_request: PullRequest) -> Rollout:
        """T2: from the pull-request text alone."""
        return await self._rollout(self._order(task, Stage.T2, 0, pull_request.text, ""))

    async def verdict(self, t1: Rollout) -> Verdict:
        """The self-check. An answer without a readable yes counts as no."""
        if known := self._run.verdicts.get(t1.id):
            return known
        text, usage = await self._ask(t1, "self_check", lambda answer: read_verdict(answer) is not None)
        verdict = Verdict(rollout=t1.id, accepted=bool(read_verdict(text)), text=text, usage=usage)
        self._run.verdicts.append(verdict)
        return verdict

    async def pull_request(self, task: Task, t1: Rollout) -> PullRequest:
        """The issue text, written from T1 in the style of the task's demonstration; empty if the
        answer held none."""
        if known := self._run.pull_requests.get(t1.id):
            return known
        style = self._demonstrations[task.demonstration]
        text, usage = await self._ask(t1, "pull_request", read_block, demonstration=style)
        request = PullRequest(
            rollout=t1.id, text=read_block(text), demonstration=task.demonstration, usage=usage
        )
        self._run.pull_requests.append(request)
        return request

    def clean(self, text: str) -> str:
        """The text without secrets, for the records."""
        return self._agent.redactor.clean(text)

    def _order(self, task: Task, stage: Stage, attempt: int, request: str, category: str) -> "_Order":
        identity = self._run.rollout_id(task, stage, attempt)
        seed = int(content_id(task.seed, identity)[:_SEED_DIGITS], 16)
        return _Order(identity, task.id, stage, attempt, request, category, seed)

    async def _rollout(self, order: "_Order") -> Rollout:
        if known := self._run.rollouts.get(order.id):
            return known
        with self._run.trail(order.id) as trail:
            rollout = await self._roll_out(order, trail)
            self._run.rollouts.append(rollout)
            if rollout.end is End.FAILED:
                raise RolloutError(rollout.error)
            trail.discard()
        return rollout

    async def _roll_out(self, order: "_Order", trail: Trail) -> Rollout:
        started, restarts = time.monotonic(), 0
        try:
            outcome = await self._in_sandbox(order, trail)
        except ReplayDiverged:
            trail.forget()
            restarts = 1
            outcome = await self._in_sandbox(order, trail)
        return Rollout(
            id=order.id,
            task=order.task,
            stage=order.stage,
            attempt=order.attempt,
            category=order.category,
            seed=order.seed,
            teacher=self._agent.teacher.settings,
            profile=self._run.profile.hash,
            seconds=round(time.monotonic() - started, 3),
            restarts=restarts,
            redactions=placeholders([*map(_text, outcome.messages), outcome.patch]),
            findings=audit(outcome.messages, outcome.patch, self._agent.project),
            **msgspec.structs.asdict(outcome),
        )

    async def _in_sandbox(self, order: "_Order", trail: Trail) -> Outcome:
        async with self._backend.sandbox() as sandbox:
            return await run_rollout(self._agent, sandbox, order.request, order.seed, trail)

    async def _ask(
        self, t1: Rollout, prompt: str, readable: Callable[[str], object], **values: str
    ) -> tuple[str, Usage]:
        """Put a question at the end of T1's own conversation, whose prefix the server still holds.
        A conversation that leaves no room for the question gets no answer."""
        asked = self._agent.redactor.clean(self._run.profile.prompt(prompt, **values))
        question = Message(role="user", content=asked)
        text, usage = "", Usage()
        for n in range(_ASKS):
            await self._agent.permission()
            try:
                reply = await self._agent.ask((*t1.messages, question), t1.seed + n)
            except ContextOverflow:
                break
            text, usage = reply.message.content, usage + reply.usage
            if readable(text):
                break
        return text, usage


def _text(message: Message) -> str:
    """All that a message says."""
    arguments = (call.arguments for call in message.tool_calls)
    return "\n".join((message.content, message.reasoning, *arguments))


class _Order(msgspec.Struct, frozen=True):
    """A rollout to be had."""

    id: str
    task: str
    stage: Stage
    attempt: int
    request: str
    category: str
    seed: int
