"""llama.cpp's answers and steps of torch, with threads that wait in loops (OpenMP's default) and that sleep
(`sera.processors.wait_without_spinning`): alone, and beside another process that computes on all cores.

    python benchmarks/waiting.py [--rounds 3]      $SERA_TEST_WEIGHTS names the GGUF

Rounds alternate between the two, so that a machine that changes its speed does so for both. The figures are
medians; compare the columns, not the runs.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

WAYS = ("loops", "sleeps")
BESIDE = "import torch\na = torch.randn(600, 600)\nwhile True: a @ a"


def answer_tokens() -> float:
    """Tokens a second of one answer; the model is loaded and warm."""
    from sera.records import Message
    from sera.teachers.contract import ChatRequest
    from sera.teachers.local import LocalConfig, LocalTeacher

    async def ask() -> float:
        config = LocalConfig(model=os.environ["SERA_TEST_WEIGHTS"], max_tokens=40, context=2048)
        async with LocalTeacher(config) as teacher:
            for said in ("Hello.", "Tell a long story about a tree."):
                began = time.perf_counter()
                reply = await teacher.complete(ChatRequest(messages=(Message(role="user", content=said),)))
        return reply.usage.completion / (time.perf_counter() - began)

    return asyncio.run(ask())


def training_steps() -> float:
    """Forward and backward passes a second of a layer of SmolLM2's size."""
    import torch

    layer = torch.nn.TransformerEncoderLayer(576, 9, 1536, batch_first=True)
    rows, done, began = torch.randn(1, 512, 576), 0, time.perf_counter()
    while time.perf_counter() - began < 5:
        layer(rows).sum().backward()
        done += 1
    return done / (time.perf_counter() - began)


MEASURES = {"tokens/s of llama.cpp": answer_tokens, "steps/s of torch": training_steps}


def measured(what: str, way: str) -> float:
    """In a process of its own: the policy is read when the library is loaded."""
    policy = {"OMP_WAIT_POLICY": "passive"} if way == "sleeps" else {}
    command = [sys.executable, __file__, "--measure", what]
    told = subprocess.run(command, env=os.environ | policy, capture_output=True, text=True, check=True)
    return float(told.stdout)


@contextmanager
def company(wanted: bool) -> Iterator[None]:
    """Another process at work on all cores, if wanted."""
    other = subprocess.Popen([sys.executable, "-c", BESIDE]) if wanted else None
    try:
        time.sleep(3 if wanted else 0)
        yield
    finally:
        if other:
            other.kill()
            other.wait()


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", choices=MEASURES, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(MEASURES[asked.measure]())
        return
    print("| | waits in loops | sleeps | ratio |\n|---|---|---|---|")
    for beside in (False, True):
        for what in MEASURES:
            with company(beside):
                rounds = [[measured(what, way) for way in WAYS] for _ in range(asked.rounds)]
            loops, sleeps = (median(column) for column in zip(*rounds, strict=True))
            where = "beside another" if beside else "alone"
            print(f"| {what}, {where} | {loops:.1f} | {sleeps:.1f} | {sleeps / loops:.1f} |", flush=True)


if __name__ == "__main__":
    main()
