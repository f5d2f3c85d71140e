"""The steps of Soft Verified Generation, each done once: looked up in the run, or made and recorded.

A step that breaks (`RolloutError`) is recorded as far as it got and raised; whoever has it done again takes
it up there (rollouts: `agent.recorded`). Answers to a question are remembered like a rollout's replies.
"""

from collections.abc import Callable, Mapping, Sequence

from sera.agent import Agent
from sera.agent.memory import replied
from sera.agent.recorded import Assignment, Rollouts, seed_of
from sera.errors import ContextOverflow
from sera.generation.answers import read_block, read_verdict
from sera.records import Message, PullRequest, Replied, Rollout, Stage, Task, Usage, Verdict, content_id
from sera.runs import Run, Trail
from sera.runs.rollouts import Question
from sera.sandboxes.contract import Backend

_ASKS = 2
"""Times a question is put before an unreadable answer is taken as it is."""


class Steps:
    """What `svg` asks for, over one run with one teacher and one sandbox backend."""

    def __init__(self, run: Run, agent: Agent, backend: Backend, demonstrations: Mapping[str, str]) -> None:
        self._run = run
        self._agent = agent
        self._backend = backend
        self._demonstrations = demonstrations
        self._rollouts = Rollouts(agent, run.rollouts, run.trail)

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
        return await self._rollout(task, Stage.T1, attempt, request, category)

    async def second_rollout(self, task: Task, pull_request: PullRequest) -> Rollout:
        """T2: from the pull-request text alone."""
        return await self._rollout(task, Stage.T2, 0, pull_request.text)

    async def verdict(self, t1: Rollout) -> Verdict:
        """The self-check. An answer without a readable yes counts as no."""
        asked = self._question(t1, "self_check")
        known = self._run.verdicts.get(t1.id)
        if known and known.asked in ("", content_id(asked)):
            return known
        with self._run.trail(t1.id, "self_check") as trail:
            text, usage = await self._ask(t1, asked, trail, lambda answer: read_verdict(answer) is not None)
            verdict = Verdict(
                rollout=t1.id,
                accepted=bool(read_verdict(text)),
                text=text,
                usage=usage,
                asked=content_id(asked),
            )
            self._run.verdicts.append(verdict)
            await self._run.verdicts.on_disk()
            trail.discard()
        return verdict

    async def pull_request(self, task: Task, t1: Rollout) -> PullRequest:
        """The issue text, written from T1 in the style of the task's demonstration; empty if the
        answer held none."""
        asked = self._question(t1, "pull_request", demonstration=self._demonstrations[task.demonstration])
        known = self._run.pull_requests.get(t1.id)
        if known and known.asked in ("", content_id(asked)):
            return known
        with self._run.trail(t1.id, "pull_request") as trail:
            text, usage = await self._ask(t1, asked, trail, read_block)
            request = PullRequest(
                rollout=t1.id,
                text=read_block(text),
                demonstration=task.demonstration,
                usage=usage,
                asked=content_id(asked),
            )
            self._run.pull_requests.append(request)
            await self._run.pull_requests.on_disk()
            trail.discard()
        return request

    def clean(self, text: str) -> str:
        """The text without secrets, for the records."""
        return self._agent.redactor.clean(text)

    async def _rollout(
        self, task: Task, stage: Stage, attempt: int, request: str, category: str = ""
    ) -> Rollout:
        identity = self._run.rollout_id(task, stage, attempt)
        wanted = Assignment(
            id=identity,
            task=task.id,
            stage=stage,
            attempt=attempt,
            request=request,
            category=category,
            seed=seed_of(task.seed, identity),
        )
        return await self._rollouts.have(wanted, self._backend)

    def _question(self, t1: Rollout, prompt: Question, **values: str) -> tuple[Message, ...]:
        """A question at the end of T1's own conversation, whose prefix the server still holds."""
        text = self._agent.redactor.clean(self._run.profile.prompt(prompt, **values))
        return (*t1.messages, Message(role="user", content=text))

    async def _ask(
        self, t1: Rollout, asked: tuple[Message, ...], trail: Trail, readable: Callable[[str], object]
    ) -> tuple[str, Usage]:
        """The answer to a question. A conversation that leaves no room for it gets none."""
        trail.begin(content_id(asked))
        text, usage = "", Usage()
        for n in range(_ASKS):
            try:
                answer = await self._answer(asked, t1.seed, n, trail)
            except ContextOverflow:
                break
            text, usage = answer.message.content, usage + answer.usage
            if readable(text):
                break
        return text, usage

    async def _answer(self, messages: Sequence[Message], seed: int, n: int, trail: Trail) -> Replied:
        """The n-th answer to a question, from 0: remembered or asked for."""
        if known := trail.reply(n):
            return known
        await self._agent.permission()
        answer = replied(n, await self._agent.ask(messages, seed + n))
        await trail.remember(answer)
        return answer
