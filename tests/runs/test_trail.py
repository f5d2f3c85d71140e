"""Trails: what can still be gone on from after damage, and that it is the answer to what is asked."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from sera.records import Answered, Message, Replied, Usage
from sera.runs import Trail
from sera.runs.lines import seal
from sera.runs.trail import flaws_of


def replied(number: int) -> Replied:
    message = Message(role="assistant", content=f"said {number}")
    return Replied(number=number, message=message, finish_reason="stop", usage=Usage(calls=1))


def answered(number: int) -> Answered:
    message = Message(role="user", content=f"seen {number}")
    return Answered(number=number, messages=(message,), tree=f"tree {number}")


def remember(trail: Trail, *numbers: int) -> None:
    for number in numbers:
        asyncio.run(trail.remember(replied(number)))
        asyncio.run(trail.remember(answered(number)))


def known(path: Path, chained: bool = True) -> list[tuple[int, bool]]:
    """(number, whether what followed is there too) of every reply."""
    with Trail(path, chained) as trail:
        halves = [(n, trail.reply(n), trail.answer(n)) for n in range(9)]
    assert all(not answer or reply for _, reply, answer in halves)
    assert all(reply is None or reply.message == replied(n).message for n, reply, _ in halves)
    return [(n, answer == answered(n)) for n, reply, answer in halves if reply]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Three whole steps."""
    path = tmp_path / "steps" / "r.jsonl"
    with Trail(path) as trail:
        remember(trail, 0, 1, 2)
    assert known(path) == [(0, True), (1, True), (2, True)]
    return path


def test_cut_anywhere(path: Path) -> None:
    """Whole halves are kept, also one that lacks its newline, and a writer who goes on is read again."""
    whole = path.read_bytes()
    ends = [place for place, byte in enumerate(whole) if byte == ord("\n")]
    for length in sorted({*range(0, len(whole), 23), *ends, *(end + 1 for end in ends)}):
        path.write_bytes(whole[:length])
        halves = sum(length >= end for end in ends)
        kept = [(n, 2 * n + 1 < halves) for n in range((halves + 1) // 2)]
        assert known(path) == kept, length
        with Trail(path) as trail:
            remember(trail, len(kept))
        assert known(path) == [*kept, (len(kept), True)], length


@pytest.mark.parametrize("damage", [lambda line: b"\xff" + line[1:], lambda _: b"{}\n", lambda _: b""])
@pytest.mark.parametrize("line", range(6))
def test_a_damaged_line(path: Path, line: int, damage: object) -> None:
    """A reply that is lost takes those after it along, and what followed one does not; of a question, whose
    answers do not build on each other, nothing is lost but itself."""
    lines = path.read_bytes().splitlines(keepends=True)
    lines[line] = damage(lines[line])  # type: ignore[operator]
    beside = path.with_name("question.jsonl")
    for file in (path, beside):
        file.write_bytes(b"".join(lines))
    lost, answer = divmod(line, 2)
    if answer:
        kept = apart = [(n, n != lost) for n in range(3)]
    else:
        kept, apart = [(n, True) for n in range(lost)], [(n, True) for n in range(3) if n != lost]
    for _ in range(2):
        assert known(path) == kept
        assert known(beside, chained=False) == apart
    with Trail(path) as trail:
        assert [n for n in range(3) if trail.answer(n)] == [n for n, whole in kept if whole]
        remember(trail, len(kept))
    assert known(path) == [*kept, (len(kept), True)]


@pytest.mark.parametrize("line", range(6))
def test_a_whole_line_of_another_kind_of_file(path: Path, line: int) -> None:
    """As of a file that was put in the place of another: it counts as damage, and is told."""
    lines = path.read_bytes().splitlines(keepends=True)
    lines[line] = seal(Usage(prompt=3), line + 1)
    path.write_bytes(b"".join(lines))
    assert [(flaw.line, flaw.what) for flaw in flaws_of(path)] == [
        (line + 1, "whole, and of another kind of file")
    ]
    lost, answer = divmod(line, 2)
    whole = [(n, n != lost) for n in range(3)] if answer else [(n, True) for n in range(lost)]
    assert known(path) == known(path) == whole


def test_a_trail_from_before_there_were_seals(path: Path) -> None:
    halves = [half(number) for number in range(3) for half in (replied, answered)]
    lines = [msgspec.json.encode(half) + b"\n" for half in halves]
    path.write_bytes(b"".join(lines))
    assert known(path) == [(0, True), (1, True), (2, True)]
    path.write_bytes(b"".join([*lines[:2], b'{"type":"replied"}\n', *lines[3:]]))
    assert known(path) == [(0, True)]


def test_what_is_forgotten_does_not_come_back(path: Path) -> None:
    with Trail(path) as trail:
        trail.forget()
        assert not any(trail.reply(n) or trail.answer(n) for n in range(3))
        remember(trail, 0)
    assert known(path) == [(0, True)]


def test_replies_to_something_else_are_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "steps" / "r.jsonl"
    for asked, there in (("this", False), ("this", True), ("that", False), ("that", True)):
        with Trail(path) as trail:
            trail.begin(asked)
            assert (trail.reply(0) is not None) == there
            if not there:
                remember(trail, 0)


def test_replies_from_before_it_was_noted_what_they_answer_are_kept(path: Path) -> None:
    with Trail(path) as trail:
        trail.begin("this")
        assert trail.reply(2)
