"""A rollout that is had once: looked up in its journal, or made and recorded.

A rollout under way remembers its steps in a trail, which is there until the whole rollout is on the disk.
What breaks (`RolloutError`) is recorded as far as it got and raised; whoever asks for the same rollout again
goes on from its last recorded step. Only if its tree cannot be rebuilt in a fresh sandbox is it begun anew.
"""

import time
from collections.abc import Callable

import msgspec

from sera.agent.audit import audit
from sera.agent.loop import Agent, Outcome, run_rollout
from sera.errors import ReplayDiverged, RolloutError
from sera.records import Message, Rollout, Stage, content_id
from sera.redaction import placeholders
from sera.runs.journal import Journal
from sera.runs.trail import Trail
from sera.sandboxes.contract import Backend

_SEED_DIGITS = 7
"""Hex digits of a rollout's seed: small enough for every server."""


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout to be had."""

    id: str
    task: str
    stage: Stage
    attempt: int
    request: str
    category: str = ""
    seed: int


class Rollouts:
    """The rollouts of one agent, kept in one journal; `trail` finds the steps of one under way by its id."""

    def __init__(self, agent: Agent, journal: Journal[Rollout], trail: Callable[[str], Trail]) -> None:
        self._agent = agent
        self._journal = journal
        self._trail = trail

    async def have(self, wanted: Assignment, backend: Backend) -> Rollout:
        """The rollout, in a sandbox of `backend` if it must be made. Raises `RolloutError` if it failed."""
        asked = content_id(wanted.request)
        if (known := self._journal.get(wanted.id)) and known.asked in ("", asked):
            return known
        with self._trail(wanted.id) as trail:
            trail.begin(asked)
            rollout, failure = await self._make(wanted, backend, trail)
            self._journal.append(rollout)
            if failure:
                raise failure
            await self._journal.on_disk()
            trail.discard()
        return rollout

    async def _make(
        self, wanted: Assignment, backend: Backend, trail: Trail
    ) -> tuple[Rollout, RolloutError | None]:
        started, restarts = time.monotonic(), 0
        try:
            outcome = await self._in_sandbox(wanted, backend, trail)
        except ReplayDiverged:
            trail.forget()
            restarts = 1
            outcome = await self._in_sandbox(wanted, backend, trail)
        made = msgspec.structs.asdict(outcome)
        failure = made.pop("failure")
        rollout = Rollout(
            id=wanted.id,
            task=wanted.task,
            stage=wanted.stage,
            attempt=wanted.attempt,
            category=wanted.category,
            seed=wanted.seed,
            teacher=self._agent.teacher.settings,
            profile=self._agent.profile.hash,
            seconds=round(time.monotonic() - started, 3),
            restarts=restarts,
            redactions=placeholders([*map(_text, outcome.messages), outcome.patch]),
            asked=content_id(wanted.request),
            findings=audit(outcome.messages, outcome.patch, self._agent.project),
            **made,
        )
        return rollout, failure

    async def _in_sandbox(self, wanted: Assignment, backend: Backend, trail: Trail) -> Outcome:
        async with backend.sandbox() as sandbox:
            return await run_rollout(self._agent, sandbox, wanted.request, wanted.seed, trail)


def seed_of(seed: int, rollout: str) -> int:
    """The sampling seed of a rollout, from that of the whole and the rollout's id."""
    return int(content_id(seed, rollout)[:_SEED_DIGITS], 16)


def _text(message: Message) -> str:
    """All that a message says."""
    arguments = (call.arguments for call in message.tool_calls)
    return "\n".join((message.content, message.reasoning, *arguments))
