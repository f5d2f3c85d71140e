"""How fast an endpoint answers several requests at once. Bounded: short answers, one time limit a level."""

import asyncio
import statistics
import time

from sera.teachers.chat_wire import decode_usage
from sera.teachers.checkup.findings import Speed
from sera.teachers.checkup.probe import Answer, Probe
from sera.teachers.checkup.requests import Requests

_ANSWER = 64
_CHARACTERS_PER_TOKEN = 4
"""Where the server does not count."""


async def measure(probe: Probe, requests: Requests, concurrency: int) -> Speed:
    """So many equal requests at once, each for 64 tokens."""
    started = time.monotonic()
    bodies = [
        requests.question(f"Count from {n} upwards, one number a line.", max_tokens=_ANSWER)
        for n in range(concurrency)
    ]
    answers = await asyncio.gather(*(probe.chat(body) for body in bodies))
    seconds = max(time.monotonic() - started, 1e-6)
    good = [answer for answer in answers if answer.ok]
    rates = [tokens(answer) / max(answer.seconds, 1e-6) for answer in good]
    return Speed(
        concurrency=concurrency,
        answered=len(good),
        tokens_per_second=sum(map(tokens, good)) / seconds,
        median_tokens_per_second=statistics.median(rates) if rates else 0.0,
        median_seconds=statistics.median(answer.seconds for answer in good) if good else 0.0,
    )


def tokens(answer: Answer) -> int:
    """Of the answer, counted or guessed."""
    if found := decode_usage(answer.body.get("usage")):
        return found[0].completion
    return len(answer.content) // _CHARACTERS_PER_TOKEN
