"""Playing whole tasks with the rehearsal teacher in real sandboxes over a tree."""

import asyncio
import time
from pathlib import Path

import msgspec

from sera.agent import Agent, AgentConfig, Outcome, run_rollout
from sera.generation.answers import read_block, read_verdict
from sera.harness import load_profile
from sera.records import Message
from sera.sandboxes import Layer, NamespacesConfig, make_backend
from sera.teachers.contract import ChatRequest, Reply
from sera.teachers.rehearsal import RehearsalTeacher

PROFILE = load_profile()


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """Both rollouts of a task and what was said in between."""

    first: Outcome
    verdict: bool | None
    text: str
    second: Outcome


class Watched:
    """A teacher whose requests are kept and whose processor time is taken."""

    def __init__(self, teacher: RehearsalTeacher) -> None:
        self._teacher = teacher
        self.settings = teacher.settings
        self.requests: list[ChatRequest] = []
        self.seconds: list[float] = []

    async def __aenter__(self) -> "Watched":
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    async def complete(self, request: ChatRequest) -> Reply:
        self.requests.append(request)
        started = time.process_time()
        reply = await self._teacher.complete(request)
        self.seconds.append(time.process_time() - started)
        return reply


def change_request(name: str, path: str, line: int, category: str) -> str:
    return PROFILE.prompt("change", function=name, path=path, line=line, concern=PROFILE.categories[category])


def line_of(tree: Path, path: str, name: str) -> int:
    lines = (tree / path).read_text("utf-8").split("\n")
    return next(n for n, line in enumerate(lines, 1) if f"def {name}(" in line)


def ask(teacher: RehearsalTeacher | Watched, first: Outcome, question: str, seed: int) -> str:
    messages = (*first.messages, Message(role="user", content=question))
    request = ChatRequest(messages=messages, tools=PROFILE.tools, seed=seed)
    return asyncio.run(teacher.complete(request)).message.content


def roll_out(teacher: RehearsalTeacher | Watched, layer: Layer, request: str, seed: int) -> Outcome:
    async def run() -> Outcome:
        agent = Agent(teacher=teacher, profile=PROFILE, config=AgentConfig())
        async with make_backend(NamespacesConfig(), layer) as backend, backend.sandbox() as sandbox:
            return await run_rollout(agent, sandbox, request, seed)

    return asyncio.run(run())


def play(
    teacher: RehearsalTeacher | Watched, layer: Layer, request: str, demonstration: str, seed: int
) -> Played:
    first = roll_out(teacher, layer, request, seed)
    verdict = read_verdict(ask(teacher, first, PROFILE.prompt("self_check"), seed))
    question = PROFILE.prompt("pull_request", demonstration=demonstration)
    text = read_block(ask(teacher, first, question, seed))
    return Played(first=first, verdict=verdict, text=text, second=roll_out(teacher, layer, text, seed + 1))
