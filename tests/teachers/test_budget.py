"""The remote teacher, the ledger and a server that fails: the books of both sides agree."""

import asyncio
import random
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from faulty_server import AMBIGUOUS, FAULTS, MODEL, TOLD, UNBILLED, Bill, FaultyServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sera.errors import BudgetExhausted, TeacherError
from sera.records import Message, ToolCall, Usage
from sera.runs.ledger import Balance, Ledger, SpendingLimits, open_ledger
from sera.teachers import Price, RehearsalConfig, RemoteConfig, make_teacher, price_of
from sera.teachers.contract import ChatRequest, Reply
from sera.teachers.metered import MeteredTeacher
from sera.teachers.remote import RemoteTeacher
from sera.teachers.remote.clock import Clock
from sera.teachers.scripted import ScriptedTeacher, say

PRICE = Price(input=0.6, cached=0.11, output=2.2)
MOST = 50
"""Tokens an answer may have."""


class Honest:
    """Answers with counts that an honest server could have: no token without a byte."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)

    async def complete(self, request: ChatRequest) -> Reply:
        await asyncio.sleep(self._dice.random() * 0.003)
        prompt = self._dice.randrange(1, 60 + sum(len(m.content.encode()) for m in request.messages))
        usage = Usage(
            calls=1,
            prompt=prompt,
            cached=self._dice.randrange(prompt + 1),
            completion=self._dice.randrange(1, MOST + 1),
        )
        call = ToolCall(id="call_0", name="bash", arguments='{"command": "ls -la"}')
        return Reply(message=Message(role="assistant", tool_calls=(call,)), usage=usage)


class Hasty(Clock):
    """Waits a hundredth of what it should."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 100)


def work(
    path: Path, limits: SpendingLimits, seed: int, faults: tuple[str, ...], rate: float, **config: object
) -> tuple[Balance, Bill, int]:
    """Eight conversations of six requests each, at once; (our books, the server's, answers that came)."""

    async def converse(teacher: RemoteTeacher, n: int) -> int:
        for turn in range(6):
            request = ChatRequest(messages=(Message(role="user", content=f"{n} {turn} " * 20),), seed=n)
            with suppress(TeacherError):
                await teacher.complete(request)
                answers.append(n)
        return n

    async def main(ledger: Ledger) -> Bill:
        async with FaultyServer(
            Honest(seed), seed=seed, rate=rate, faults=faults, price=PRICE, pause=0.01
        ) as server:
            settled = RemoteConfig(
                base_url=server.base_url, model=MODEL, max_tokens=MOST, **({"timeout": 0.15} | config)
            )  # type: ignore[arg-type]
            async with RemoteTeacher(settled, ledger, Hasty()) as teacher:
                ends = await asyncio.gather(*(converse(teacher, n) for n in range(8)), return_exceptions=True)
                assert all(isinstance(end, int | BudgetExhausted) for end in ends), ends
            return server.bill

    answers: list[int] = []
    path.unlink(missing_ok=True)
    with open_ledger(path, limits, PRICE) as ledger:
        bill = asyncio.run(asyncio.wait_for(main(ledger), 60))
        return ledger.summary(), bill, len(answers)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), limit=st.floats(0.0005, 0.03), stream=st.booleans())
def test_never_a_cent_over(tmp_path: Path, seed: int, limit: float, stream: bool) -> None:
    ours, theirs, _ = work(
        tmp_path / "ledger.jsonl", SpendingLimits(max_usd=limit), seed, FAULTS, 0.3, stream=stream
    )
    assert ours.reserved.nano == 0
    assert ours.settled.nano <= theirs.nano <= ours.settled.nano + ours.uncertain.nano <= limit * 1e9
    assert ours.settled.tokens <= theirs.tokens <= ours.settled.tokens + ours.uncertain.tokens
    assert ours.overruns == 0


@pytest.mark.parametrize("stream", [False, True])
def test_the_books_agree_where_no_fault_is_ambiguous(tmp_path: Path, stream: bool) -> None:
    """429, refusals and answers that tell their usage leave nothing uncertain."""
    certain = tuple(fault for fault in (*UNBILLED, *TOLD) if fault.startswith("429") or fault in TOLD)
    patient = {"timeout": 60, "retries": 30, "trip_after": 99, "stream": stream}
    ours, theirs, answers = work(tmp_path / "ledger.jsonl", SpendingLimits(), 5, certain, 0.4, **patient)
    assert (ours.settled.nano, ours.settled.tokens, ours.usage) == (theirs.nano, theirs.tokens, theirs.usage)
    assert (ours.uncertain.nano, ours.reserved.nano) == (0, 0)
    assert answers == 48


def test_what_is_ambiguous_counts_at_its_worst(tmp_path: Path) -> None:
    ours, theirs, _ = work(tmp_path / "ledger.jsonl", SpendingLimits(), 5, AMBIGUOUS, 0.4)
    assert ours.settled.nano <= theirs.nano <= ours.settled.nano + ours.uncertain.nano
    assert ours.uncertain.nano > 0


def test_a_free_teacher_can_be_limited_too(tmp_path: Path) -> None:
    config = RehearsalConfig()
    with open_ledger(
        tmp_path / "ledger.jsonl", SpendingLimits(max_tokens=20_000, max_usd=1), price_of(config)
    ) as ledger:
        teacher = make_teacher(config, ledger)
        request = ChatRequest(messages=(Message(role="user", content="hello"),))

        async def main() -> None:
            while True:
                await teacher.complete(request)

        with pytest.raises(BudgetExhausted, match="max_tokens"):
            asyncio.run(asyncio.wait_for(main(), 30))
        assert 0 < ledger.summary().settled.tokens <= 20_000
        assert ledger.summary().settled.nano == 0


class Uncounted(ScriptedTeacher):
    """Guesses what it has used."""

    async def complete(self, request: ChatRequest) -> Reply:
        reply = await super().complete(request)
        return msgspec.structs.replace(reply, usage=Usage(calls=1, prompt=3, completion=2), estimated=True)


def test_a_guess_of_a_teacher_here_is_not_settled(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.jsonl", SpendingLimits(), PRICE) as ledger:
        teacher = MeteredTeacher(Uncounted([say("hello")]), ledger)
        asyncio.run(teacher.complete(ChatRequest(messages=(Message(role="user", content="hello"),))))
        now = ledger.summary()
    assert (now.settled.tokens, now.uncounted) == (0, 1)
    assert now.uncertain.tokens > 5
