"""A teacher that counts: killing a run repeats no more calls than were under way."""

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from test_crash_safety import dataset, kill_and_wait, start
from user_shell import Sera

from sera.teachers import ChatRequest, RehearsalConfig, RehearsalTeacher, Reply
from sera.teachers.checkup.brief import WISH
from sera.teachers.server import make_app

KILLS = 20
SEED = 31
CONCURRENCY = 3


class Counting(RehearsalTeacher):
    """A rehearsal teacher that counts the requests it has begun to answer, but for those of the check with
    which every start begins."""

    requests = 0

    async def complete(self, request: ChatRequest) -> Reply:
        self.requests += WISH not in request.messages[1].content
        return await super().complete(request)


@pytest.fixture
def teacher() -> Iterator[tuple[Counting, str]]:
    """The teacher and its address."""
    counting = Counting(RehearsalConfig(latency=0.06))
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(counting, "rehearsal"),
            port=0,
            log_level="error",
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield counting, f"http://127.0.0.1:{port}/v1"
    server.should_exit = True
    thread.join(10)


def test_kills_repeat_at_most_the_calls_under_way(
    sera: Sera, tiny_repo: Path, cache: Path, tmp_path: Path, teacher: tuple[Counting, str]
) -> None:
    counting, url = teacher
    arguments = [
        "--teacher",
        url,
        "--model",
        "rehearsal",
        "--functions",
        "20",
        "--concurrency",
        str(CONCURRENCY),
    ]
    sera("generate", tiny_repo, "--out", tmp_path / "whole", *arguments)
    needed, counting.requests = counting.requests, 0

    moments, kills = random.Random(SEED), 0
    for _ in range(2 * KILLS):
        process = start(tiny_repo, tmp_path / "broken", cache, arguments)
        time.sleep(moments.uniform(0.7, 1.5))
        kills += kill_and_wait(process)
        if kills == KILLS:
            break
    assert kills == KILLS, "the run was over too soon to be killed so often"
    sera("generate", tiny_repo, "--out", tmp_path / "broken", *arguments)

    assert needed <= counting.requests <= needed + KILLS * CONCURRENCY
    assert dataset(sera, tmp_path / "whole", tmp_path / "d1") == dataset(
        sera, tmp_path / "broken", tmp_path / "d2"
    )
