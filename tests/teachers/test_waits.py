"""A stop ends every wait of a teacher in which nothing was sent, and what it waits for can be seen."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from scripted_server import answer, serving
from test_remote import HELLO, Books, Hasty

from sera.errors import Halted, SeraError, TeacherUnusable
from sera.records import Usage
from sera.teachers.contract import Meter, Reply
from sera.teachers.remote import Endpoint, RemoteConfig, RemoteTeacher
from sera.teachers.remote.waits import Waits

NOT_FOUND = (404, {}, '{"error": "no such route"}')
COOLING = (429, {"retry-after": "60"}, "No deployments available. Try again in 60 seconds")


@asynccontextmanager
async def asked(
    base_url: str, meter: Meter | None = None, waits: Waits | None = None, **config: Any
) -> AsyncIterator["tuple[asyncio.Task[Reply], Waits]"]:
    """A request under way to that server, without knocking."""
    waits = waits or Waits()
    teacher = RemoteTeacher(RemoteConfig(model="m", base_url=base_url, **config), meter, None, waits)
    async with teacher:
        asking = asyncio.create_task(teacher.complete(HELLO))
        try:
            yield asking, waits
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.01)


def stopped_while(
    base_url: str, books: Meter | None, begun: Callable[[Waits], object], **config: Any
) -> None:
    """The request ends by `Halted` at once, when it is stopped after something has begun."""

    async def main() -> None:
        async with asked(base_url, books, **config) as (asking, waits):
            await until(lambda: begun(waits))
            waits.stop("stopped by order")
            waits.stop("once more")
            with pytest.raises(Halted, match="stopped by order"):
                await asyncio.wait_for(asking, 1)

    asyncio.run(main())


def test_a_stop_ends_a_pause_that_the_server_asked_for() -> None:
    books = Books()
    with serving(COOLING) as server:
        stopped_while(server.base_url, books, lambda waits: "429: No deployments" in str(waits))
    assert books.lines == ["hold", "released"]


def test_a_stop_ends_the_wait_for_endpoints_that_rest() -> None:
    with serving((404, {}, "gone"), models=("m",)) as server:
        stopped_while(
            server.base_url, None, lambda waits: "404: gone" in str(waits), trip_after=2, retries=99
        )


def test_a_stop_ends_a_connect_and_releases_its_hold() -> None:
    """A socket that listens and whose queue is full: nobody is connected, and nothing refused."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        there = listening.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(there)
        books = Books()

        async def main() -> None:
            config = RemoteConfig(model="m", base_url=f"http://127.0.0.1:{there[1]}/v1")
            waits = Waits()
            teacher = RemoteTeacher(config, books, None, waits)
            [line] = teacher._lines
            line.open()
            asking = asyncio.create_task(teacher.complete(HELLO))
            await until(lambda: books.lines)
            await asyncio.sleep(0.05)
            waits.stop("interrupted")
            with pytest.raises(Halted):
                await asyncio.wait_for(asking, 1)
            await line.close()

        asyncio.run(main())
        for filler in fillers:
            filler.close()
    assert books.lines == ["hold", "released"]


def test_a_stop_ends_the_wait_for_room_in_the_budget() -> None:
    class Full(Books):
        async def reserve(self, worst: Usage) -> int:
            self.lines.append("waits")
            await asyncio.sleep(60)
            return 0

    full = Full()
    with serving(answer()) as server:
        stopped_while(server.base_url, full, lambda _: full.lines)
    assert full.lines == ["waits"]


def test_what_was_sent_is_answered_all_the_same() -> None:
    async def main(server: Any) -> None:
        books = Books()
        async with asked(server.base_url, books) as (asking, waits):
            await until(lambda: server.posts)
            waits.stop("interrupted")
            assert (await asyncio.wait_for(asking, 5)).message.content == "hi"
        assert books.lines == ["hold", "settled"]

    status, _, text = answer()
    with serving((status, {"x-wait": "0.3"}, text)) as server:
        asyncio.run(main(server))


def test_after_a_stop_nothing_is_sent() -> None:
    waits = Waits()

    async def main(base_url: str) -> None:
        async with asked(base_url, None, waits) as (asking, _):
            waits.stop("interrupted")
            with pytest.raises(Halted, match="interrupted"):
                await asyncio.wait_for(asking, 1)
        with pytest.raises(Halted, match="interrupted"):
            await asked(base_url, None, waits).__aenter__()

    with serving(answer()) as server:
        asyncio.run(main(server.base_url))
    assert not server.posts


def test_a_server_that_says_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    waits, now = Waits(), time.monotonic()
    with waits.answering():
        assert str(waits) == ""
        monkeypatch.setattr(time, "monotonic", lambda: now + 75)
        assert str(waits) == "the teacher: 1 asked and no answer for 60 s"
    assert str(waits) == ""


# ── endpoints that never answered ─────────────────────────────────────────────────────────────────


def ask(server: Any, times: int = 1, **config: Any) -> None:
    async def main() -> None:
        teacher = RemoteTeacher(RemoteConfig(model="m", base_url=server.base_url, **config), None, Hasty())
        async with teacher:
            failures = [await fails(teacher) for _ in range(times)]
            assert not any(isinstance(one, TeacherUnusable) for one in failures[:-1])
            raise failures[-1]

    async def fails(teacher: RemoteTeacher) -> Exception:
        try:
            await teacher.complete(HELLO)
        except SeraError as problem:
            return problem
        raise AssertionError("an answer")

    asyncio.run(asyncio.wait_for(main(), 30))


def test_a_cooldown_between_refusals_does_not_take_them_back() -> None:
    cooling = (429, {}, "cooling down")
    turns = [NOT_FOUND, cooling] * 4
    with serving(*turns, NOT_FOUND, models=("m",)) as server, pytest.raises(TeacherUnusable, match="404"):
        ask(server, trip_after=5)
    assert len(server.posts) == 9


def test_refusals_amid_cooldowns_end_a_run_that_was_well_before() -> None:
    turns = [NOT_FOUND, (429, {}, "cooling down")] * 40

    async def main(base_url: str) -> None:
        config = RemoteConfig(model="m", base_url=base_url)
        async with RemoteTeacher(config, None, Hasty()) as teacher:
            await teacher.complete(HELLO)
            await teacher.complete(HELLO)

    with serving(answer(), *turns) as server, pytest.raises(TeacherUnusable, match="404"):
        asyncio.run(asyncio.wait_for(main(server.base_url), 30))


@pytest.mark.parametrize(
    ("refusal", "cure"),
    [
        ((400, {}, '{"error": {"message": "{\'error\': \'/chat/completions: Invalid model name passed in model=m.\'}"}}'), "check --model"),
        ((400, {}, '{"error": {"message": "qwen/x is not a valid model ID", "code": 400}}'), "check --model"),
        ((400, {}, '{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}}'), "SERA_API_KEY"),
        ((500, {}, '{"error": {"message": "litellm.AuthenticationError: OpenAIException - bad"}}'), "SERA_API_KEY"),
        ((429, {}, '{"error": {"code": "insufficient_quota"}}'), "no credit"),
    ],
)  # fmt: skip
def test_a_wrong_name_or_key_is_known_by_its_words(refusal: Any, cure: str) -> None:
    with serving(refusal) as server, pytest.raises(TeacherUnusable, match=cure):
        ask(server)
    assert len(server.posts) == 1


def test_refusals_from_the_start_end_the_run() -> None:
    strange = (400, {}, json.dumps({"error": "unsupported: temperature"}))
    with (
        serving(strange) as server,
        pytest.raises(TeacherUnusable, match=r"temperature.* 5 refusals and not one answer"),
    ):
        ask(server, times=5)
    assert len(server.posts) == 5


def test_one_good_endpoint_is_enough() -> None:
    with serving(NOT_FOUND) as bad, serving(answer()) as good:

        async def main() -> None:
            where = tuple(Endpoint(base_url=one.base_url) for one in (bad, good))
            async with RemoteTeacher(RemoteConfig(model="m", endpoints=where), None, Hasty()) as teacher:
                for _ in range(4):
                    await teacher.complete(HELLO)

        asyncio.run(asyncio.wait_for(main(), 30))
