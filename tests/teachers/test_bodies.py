"""Answers without an end, or that unpack to one: each is broken off at its bound, and says so."""

import asyncio
import base64
import gzip
import http.server
import json
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from sera.errors import TeacherError, TeacherRefused
from sera.records import Message
from sera.teachers import Endpoint
from sera.teachers.checkup import Examined, check_endpoint
from sera.teachers.contract import ChatRequest, Reply
from sera.teachers.remote import RemoteConfig, RemoteTeacher
from sera.teachers.remote.sse import LONGEST_LINE, MOST_EVENTS, EventReader

MOST = 1 << 20
"""Bytes of an answer in these tests."""
ROOM = 16 * MOST
"""Bytes of memory that reading one may take: the body, its text, and what the server here holds."""
LIMIT = f"{MOST:,} bytes"
ASK = ChatRequest(messages=(Message(role="user", content="hello"),))
Pieces = Iterator[bytes]
JSON, EVENTS = "application/json", "text/event-stream"


def whole(content: str = "hi") -> bytes:
    message = {"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    counted = {"prompt_tokens": 3, "completion_tokens": 2}
    return json.dumps({"model": "m", "choices": [message], "usage": counted}).encode()


def for_ever(piece: bytes) -> Callable[[], Pieces]:
    """The same piece without an end; the test ends by the reader's leaving."""

    def pieces() -> Pieces:
        while True:
            yield piece

    return pieces


def once(body: bytes) -> Callable[[], Pieces]:
    return lambda: iter([body[at : at + 60_000] for at in range(0, len(body), 60_000)])


def packed(size: int, bits: int, content: bytes = b"") -> bytes:
    """So many blanks before the content, as gzip, zlib or bare deflate makes them small."""
    pack, blanks = zlib.compressobj(9, zlib.DEFLATED, bits), b" " * (1 << 20)
    return b"".join(pack.compress(blanks) for _ in range(size >> 20)) + pack.compress(content) + pack.flush()


@contextmanager
def server(
    pieces: Callable[[], Pieces], status: int = 200, kind: str = JSON, lists: bool = False, **headers: str
) -> Iterator[str]:
    """Answers every POST, and with `lists` every GET, by pieces."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if lists:
                self.send(pieces(), status, kind, spoilt=True)
            else:
                self.send(iter([b'{"data": [{"id": "m"}]}']), 200, JSON)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            if lists:
                self.send(iter([whole()]), 200, JSON)
            else:
                self.send(pieces(), status, kind, spoilt=True)

        def send(self, body: Pieces, status: int, kind: str, spoilt: bool = False) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("transfer-encoding", "chunked")
            for name, value in headers.items() if spoilt else ():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            try:
                for piece in body:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.write(b"0\r\n\r\n")
            except OSError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            return None

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        made.daemon_threads = True
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{made.server_port}/v1"
        finally:
            made.shutdown()
            thread.join(5)


def ask(url: str, **settings: object) -> Reply:
    """One request; fails if reading the answer took more memory than the bound allows."""

    async def main() -> Reply:
        config = RemoteConfig(
            base_url=url,
            model="m",
            retries=0,
            patience=0.1,
            answer_bytes=MOST,
            **settings,  # type: ignore[arg-type]
        )
        async with RemoteTeacher(config) as teacher:
            return await teacher.complete(ASK)

    tracemalloc.start()
    try:
        return asyncio.run(asyncio.wait_for(main(), 60))
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < ROOM


@pytest.mark.parametrize("bits", [31, 15, -15], ids=["gzip", "zlib", "deflate"])
def test_an_answer_that_unpacks_to_more_than_it_may_is_broken_off(bits: int) -> None:
    encoding = "gzip" if bits == 31 else "deflate"
    with (
        server(once(packed(100 << 20, bits)), content_encoding=encoding) as url,
        pytest.raises(TeacherError, match=LIMIT),
    ):
        ask(url)
    with server(once(packed(0, bits, whole("fine"))), content_encoding=encoding) as url:
        assert ask(url).message.content == "fine"


def test_a_stream_may_be_packed_too() -> None:
    event = b'data: {"choices": [{"index": 0, "delta": {"content": "x"}}]}\n\n'
    end = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'
    with server(once(gzip.compress(event * 9 + end)), kind=EVENTS, content_encoding="gzip") as url:
        assert ask(url, stream=True).message.content == "x" * 9
    with (
        server(once(gzip.compress(event * 60_000)), kind=EVENTS, content_encoding="gzip") as url,
        pytest.raises(TeacherError, match=LIMIT),
    ):
        ask(url, stream=True)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress"])
def test_what_is_packed_unasked_in_another_way_is_not_unpacked(encoding: str) -> None:
    inner = gzip.compress(packed(64 << 20, 31))
    with (
        server(once(inner), content_encoding=encoding) as url,
        pytest.raises(TeacherError, match=f"packed as '{encoding}'"),
    ):
        ask(url)


def test_packed_nothing_without_an_end_is_broken_off() -> None:
    """Blocks that unpack to no byte at all."""
    empty = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = empty.flush(zlib.Z_FULL_FLUSH)
    blocks = empty.flush(zlib.Z_FULL_FLUSH) or b"\x00\x00\x00\xff\xff"

    def pieces() -> Pieces:
        yield head
        yield from for_ever(blocks * 10_000)()

    with server(pieces, content_encoding="gzip") as url, pytest.raises(TeacherError, match=LIMIT):
        ask(url)


def test_what_comes_behind_packed_data_is_bounded_too() -> None:
    def pieces() -> Pieces:
        yield gzip.compress(whole())
        yield from for_ever(b"left over" * 5_000)()

    with server(pieces, content_encoding="gzip") as url, pytest.raises(TeacherError, match=LIMIT):
        ask(url, timeout=30.0)


@pytest.mark.parametrize("encoding", ["none", "utf-8", "identity", "Identity, GZip", "gzip, none"])
def test_encodings_that_pack_nothing_are_none(encoding: str) -> None:
    body = gzip.compress(whole("fine")) if "gzip" in encoding.lower() else whole("fine")
    with server(once(body), content_encoding=encoding) as url:
        assert ask(url).message.content == "fine"


def test_a_hundred_thousand_tokens_may_be_streamed_with_what_a_filter_says_of_each() -> None:
    clear = {
        kind: {"filtered": False, "severity": "safe"} for kind in ("hate", "self_harm", "sexual", "violence")
    }
    told = {"content_filter_results": clear, "finish_reason": None, "index": 0, "logprobs": None}
    head = {
        "created": 1_723_456_789,
        "id": "chatcmpl-" + "x" * 29,
        "model": "m",
        "system_fingerprint": "fp_b2ff",
    }

    def events() -> Pieces:
        for n in range(1_000):
            choice = told | {"delta": {"reasoning_content" if n < 900 else "content": " word"}}
            yield b"data: %s\n\n" % json.dumps(head | {"choices": [choice]}).encode() * 100
        yield b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'

    async def main(url: str) -> Reply:
        async with RemoteTeacher(RemoteConfig(base_url=url, model="m", stream=True, retries=0)) as teacher:
            return await teacher.complete(ASK)

    with server(events, kind=EVENTS) as url:
        message = asyncio.run(main(url)).message
    assert (message.content, message.reasoning) == (" word" * 10_000, " word" * 90_000)


@pytest.mark.parametrize(
    ("piece", "kind", "stream"),
    [
        (b" " * 50_000, JSON, False),
        (b"x" * 50_000, EVENTS, True),
        (b": still here\n" * 4_000, EVENTS, True),
        (b"\n" * 50_000, EVENTS, True),
        (
            b'data: {"choices": [{"index": 0, "delta": {"content": "' + b"y" * 9_000 + b'"}}]}\n\n',
            EVENTS,
            True,
        ),
        (b'data: {"choices": []}\n' * 2_000, EVENTS, True),
    ],
    ids=["blanks", "one line", "comments", "empty lines", "events", "small events"],
)
def test_an_answer_without_an_end_is_broken_off(piece: bytes, kind: str, stream: bool) -> None:
    with server(for_ever(piece), kind=kind) as url, pytest.raises(TeacherError, match=LIMIT):
        ask(url, stream=stream)


@pytest.mark.parametrize(
    ("status", "error"), [(400, TeacherRefused), (401, TeacherError), (500, TeacherError)]
)
@pytest.mark.parametrize("stream", [False, True])
def test_of_a_refusal_without_an_end_the_beginning_is_read(
    status: int, error: type[Exception], stream: bool
) -> None:
    with server(for_ever(b"no such thing " * 4_000), status) as url, pytest.raises(error) as caught:
        ask(url, stream=stream)
    assert f"answered {status}: no such thing" in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("charset", ["zlib", "punycode", "base64", "utf-7"])
def test_the_charset_of_a_refusal_decides_nothing(charset: str) -> None:
    body = once(zlib.compress(b"n" * (32 << 20)))
    with server(body, 400, f"text/html; charset={charset}") as url, pytest.raises(TeacherRefused):
        ask(url)


def test_headers_without_an_end_are_left() -> None:
    with (
        server(once(whole()), x_more="y" * 200_000) as url,
        pytest.raises(TeacherError, match="102,400 bytes"),
    ):
        ask(url)


def test_a_list_of_models_without_an_end_is_left() -> None:
    with server(for_ever(b'{"id": "other"}, ' * 4_000), lists=True) as url:
        assert ask(url).message.content == "hi"


def test_the_check_of_an_endpoint_reads_no_more_either() -> None:
    with server(for_ever(b" " * 60_000)) as url:
        examined = Examined(endpoint=Endpoint(base_url=url), model="m", speeds=(), timeout=30.0)
        checkup = asyncio.run(check_endpoint(examined))
    answers = next(found for found in checkup.findings if found.name == "answers")
    assert answers.state == "problem"
    assert "67,108,864 bytes" in answers.text


def test_the_check_says_so_of_a_list_too() -> None:
    with server(once(packed(100 << 20, 31)), lists=True, content_encoding="gzip") as url:
        examined = Examined(endpoint=Endpoint(base_url=url), model="m", speeds=(), timeout=30.0)
        checkup = asyncio.run(check_endpoint(examined))
    assert "67,108,864 bytes" in checkup.findings[0].text


def test_a_line_and_a_stream_of_events_have_bounds_of_their_own() -> None:
    def read(piece: bytes, times: int) -> None:
        reader = EventReader()
        for _ in range(times):
            for event in reader.feed(piece):
                assert event == {}

    with pytest.raises(ValueError, match=f"a line is longer than {LONGEST_LINE:,} bytes"):
        read(b"x" * 65_536, LONGEST_LINE // 65_536 + 1)
    with pytest.raises(ValueError, match=f"more than {MOST_EVENTS:,} events"):
        read(b"data: {}\n" * 4_096, MOST_EVENTS // 4_096 + 1)


def test_a_key_at_the_place_where_a_refusal_is_cut_off_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text is nothing but keys, so that all of it may be shown, and its end is the beginning of one."""
    key = "k3y/" + "Ab9+" * 900
    monkeypatch.setenv("SERA_API_KEY", key)
    written = "".join(f"\\u{ord(letter):04x}" for letter in key)
    with server(for_ever(written.encode()), 400) as url, pytest.raises(TeacherRefused) as caught:
        ask(url)
    assert "\\u0041" not in str(caught.value)
    assert base64.b64encode(key.encode()).decode()[:12] not in str(caught.value)
