"""What a server says it has used: believed where it can be true, else counted at the hold, and said."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from scripted_server import serving

from sera.cli.common import bill
from sera.records import Message, Usage
from sera.runs.ledger import Balance, SpendingLimits, open_ledger, read_ledger
from sera.teachers import Price, RemoteConfig, anthropic_wire, chat_wire
from sera.teachers.contract import ChatRequest, Reply
from sera.teachers.remote import RemoteTeacher

PRICE = Price(input=3, cached=0.3, output=15)
INCREDIBLE: list[Any] = [
    {"prompt_tokens": -40, "completion_tokens": 12},
    {"prompt_tokens": 40, "completion_tokens": -1_000_000},
    {"prompt_tokens": 40, "completion_tokens": 12, "prompt_tokens_details": {"cached_tokens": -(10**12)}},
    {"prompt_tokens": 40, "completion_tokens": 12, "prompt_tokens_details": {"cached_tokens": 41}},
    {"prompt_tokens": 40, "completion_tokens": 12, "prompt_cache_hit_tokens": 4000},
    {"prompt_tokens": 40, "completion_tokens": 12, "cache_creation_input_tokens": 4000},
    {"prompt_tokens": 40, "completion_tokens": 12, "total_tokens": 10**17},
    {"prompt_tokens": 40, "completion_tokens": 12, "total_tokens": -3},
    {"prompt_tokens": 10**31, "completion_tokens": 12},
    {"prompt_tokens": 40, "completion_tokens": 1e300},
    {"prompt_tokens": 7 * 10**6, "completion_tokens": 12},
    {"prompt_tokens": 40, "completion_tokens": 7 * 10**6},
    {"prompt_tokens": "40", "completion_tokens": 12},
    {"prompt_tokens": 40, "completion_tokens": "twelve"},
    {"prompt_tokens": True, "completion_tokens": True},
    {"prompt_tokens": [40], "completion_tokens": {"all": 12}},
    {"prompt_tokens": 0, "completion_tokens": 12},
    {"prompt_tokens": 40},
    {"prompt_tokens": 40, "completion_tokens": None},
    {"prompt_tokens": 0, "completion_tokens": 0},
    {},
    None,
    "forty",
    [40, 12],
    40,
]


def ask(path: Path, usage: Any, limits: SpendingLimits | None = None, **more: Any) -> tuple[Reply, Balance]:
    """One request to a server that tells that usage; its answer, and how the ledger stands."""
    body = {
        "model": "m",
        "choices": [{"message": {"role": "assistant", "content": "four words of answer"}}],
        "usage": usage,
    }

    async def main(url: str) -> Reply:
        with open_ledger(path, limits or SpendingLimits(), PRICE) as ledger:
            async with RemoteTeacher(RemoteConfig(model="m", base_url=url, **more), ledger) as teacher:
                return await teacher.complete(
                    ChatRequest(messages=(Message(role="user", content="hello " * 20),))
                )

    with serving((200, {}, json.dumps(body))) as server:
        reply = asyncio.run(asyncio.wait_for(main(server.base_url), 30))
        assert len(server.posts) == 1, "an answer that came is not asked for again"
    return reply, read_ledger(path)


@pytest.mark.parametrize("usage", INCREDIBLE, ids=lambda usage: json.dumps(usage)[:60])
def test_what_cannot_be_true_counts_at_the_hold(tmp_path: Path, usage: Any) -> None:
    reply, now = ask(tmp_path / "ledger.jsonl", usage, SpendingLimits(max_usd=1))
    assert reply.message.content == "four words of answer"
    assert (now.settled.nano, now.overruns, now.uncounted) == (0, 0, 1)
    assert now.uncertain.nano >= PRICE.cost(Usage(prompt=40, completion=12))
    assert now.uncertain.usd < 0.2, "no more than the hold"
    assert "1 answer came without a count of tokens that can be true" in bill(now)
    assert 0 < reply.usage.prompt < 1000, "a guess of our own"


@pytest.mark.parametrize(
    ("usage", "used"),
    [
        ({"prompt_tokens": 40, "completion_tokens": 12}, Usage(calls=1, prompt=40, completion=12)),
        ({"prompt_tokens": 40.0, "completion_tokens": 11.2}, Usage(calls=1, prompt=40, completion=12)),
        ({"prompt_tokens": 40, "total_tokens": 52, "prompt_tokens_details": {"cached_tokens": 40}},
         Usage(calls=1, prompt=40, cached=40, completion=12)),
        ({"prompt_tokens": 40, "completion_tokens": 12, "prompt_tokens_details": [1]}, Usage(calls=1, prompt=40, completion=12)),
    ],
)  # fmt: skip
def test_what_can_be_true_counts_as_told(tmp_path: Path, usage: Any, used: Usage) -> None:
    reply, now = ask(tmp_path / "ledger.jsonl", usage)
    assert (reply.usage, now.usage, now.settled.nano) == (used, used, PRICE.cost(used))
    assert (now.uncertain.nano, now.uncounted) == (0, 0)


def test_a_server_that_reasons_beyond_its_bound_is_believed(tmp_path: Path) -> None:
    """It may add words of its own, and count what it thinks beyond `max_tokens`: that is an overrun."""
    _, now = ask(
        tmp_path / "ledger.jsonl", {"prompt_tokens": 9000, "completion_tokens": 60_000}, max_tokens=100
    )
    assert (now.settled.tokens, now.overruns, now.uncounted) == (69_000, 1, 0)


@pytest.mark.parametrize(
    "number", [-1, -(10**40), 10**40, 1e300, float("inf"), float("nan"), True, "7", [7], {}]
)
def test_no_number_of_tokens(number: Any) -> None:
    assert chat_wire.decode_usage({"prompt_tokens": number, "completion_tokens": 3}) is None
    assert (
        chat_wire.decode_usage({"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": number}) is None
    )
    for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"):
        told = {"input_tokens": 9, "output_tokens": 3, name: number}
        assert anthropic_wire.decode_usage(told) is None
