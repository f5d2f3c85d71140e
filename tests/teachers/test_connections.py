"""The connections to an endpoint: one for each request under way, found again, closed when they are old."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from sera.teachers.remote import connections
from sera.teachers.remote.connections import Connections

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


class Server:
    """Answers whatever comes after `wait`, and counts its connections."""

    def __init__(self) -> None:
        self.made, self.open, self.most = 0, 0, 0
        self.wait = asyncio.Event()
        self.wait.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.made += 1
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await self.wait.wait()
                writer.write(ANSWER)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionResetError):
            pass
        finally:
            self.open -= 1
            writer.close()


def talk(work: Callable[[Server, Connections, Callable[[], Awaitable[Any]]], Awaitable[None]]) -> None:
    async def main() -> None:
        server, kept = Server(), Connections()
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
        async with listening, httpx2.AsyncClient(transport=kept, timeout=5) as client:
            await asyncio.wait_for(work(server, kept, lambda: client.get(url)), 20)
        for _ in range(100):
            if not server.open:
                break
            await asyncio.sleep(0.01)
        assert server.open == 0, "the client left connections open"

    asyncio.run(main())


def test_one_after_the_other_shares_a_connection() -> None:
    async def work(server: Server, _: Connections, get: Callable[[], Awaitable[Any]]) -> None:
        for _n in range(5):
            assert (await get()).text == "hi"
        assert server.made == 1

    talk(work)


def test_many_at_once_have_one_each_and_are_found_again() -> None:
    async def work(server: Server, _: Connections, get: Callable[[], Awaitable[Any]]) -> None:
        for _n in range(3):
            server.wait.clear()
            asked = [asyncio.ensure_future(get()) for _ in range(40)]
            while server.open < 40:
                await asyncio.sleep(0.01)
            server.wait.set()
            assert [answer.text for answer in await asyncio.gather(*asked)] == ["hi"] * 40
        assert (server.made, server.most) == (40, 40)

    talk(work)


def test_what_is_idle_for_long_is_closed_by_the_next_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_IDLE", 0.05)

    async def work(server: Server, _: Connections, get: Callable[[], Awaitable[Any]]) -> None:
        await asyncio.gather(*(get() for _ in range(10)))
        assert server.open == server.made == 10
        await asyncio.sleep(0.1)
        await get()
        await asyncio.sleep(0.1)
        assert (server.open, server.made) == (1, 11)

    talk(work)


def test_a_broken_off_request_leaves_no_connection_behind() -> None:
    async def work(server: Server, _: Connections, get: Callable[[], Awaitable[Any]]) -> None:
        server.wait.clear()
        asked = asyncio.ensure_future(get())
        while not server.open:
            await asyncio.sleep(0.01)
        asked.cancel()
        await asyncio.wait([asked])
        server.wait.set()
        assert (await get()).text == "hi"
        assert server.made == 2

    talk(work)
