"""Journals: whole lines, torn lines, full disks."""

import asyncio
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from sera.errors import RunError
from sera.records import Record
from sera.runs.journal import Journal


class Note(Record, frozen=True):
    name: str
    text: str = ""
    counts: bool = True


class Heading(Record, frozen=True):
    name: str
    counts: bool = True


def open_journal(path: Path) -> Journal[Note]:
    journal = Journal(path, Note, Heading, lambda note: note.name if note.counts else None)
    journal.open_for_writing()
    return journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    journal = open_journal(tmp_path / "notes.jsonl")
    for name in ("a", "b", "c"):
        journal.append(Note(name=name, text=name * 5))
    journal.close()
    return tmp_path / "notes.jsonl"


def test_records_come_back_in_order(path: Path) -> None:
    assert [note.text for note in open_journal(path)] == ["aaaaa", "bbbbb", "ccccc"]
    assert open_journal(path).get("b") == Note(name="b", text="bbbbb")
    assert open_journal(path).get("z") is None


def test_cut_at_every_byte(path: Path) -> None:
    """Wherever a writer is killed, whole records stay and the torn one can be written again."""
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        journal = open_journal(path)
        kept = whole[:length].count(b"}")  # one that lacks nothing but its newline is whole
        assert len(journal) == kept
        assert journal.damaged == 0
        for name in ("a", "b", "c")[kept:]:
            journal.append(Note(name=name, text=name * 5))
        journal.close()
        assert path.read_bytes() == whole


def test_reader_beside_a_writer_leaves_the_file_alone(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b'{"name": "d", "te')
    before = path.read_bytes()
    assert len(Journal(path, Note, Heading, lambda note: note.name)) == 3
    assert path.read_bytes() == before


def test_unreadable_line_is_counted_and_passed_over(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\x00\xff garbage\n" + lines[2])
    journal = open_journal(path)
    assert (len(journal), journal.damaged) == (2, 1)
    assert [note.name for note in journal.every(Heading)] == ["a", "c"]


def test_an_altered_byte_takes_its_record_away_and_no_other(path: Path) -> None:
    whole = path.read_bytes()
    for place in range(len(whole)):
        for byte in b"\x00\xffa":
            if whole[place] == byte:
                continue
            path.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
            journal = open_journal(path)
            texts = {note.name: note.text for note in journal}
            line = whole[:place].count(b"\n")
            others = {name: name * 5 for name in "abc"}
            if whole[place : place + 1] != b"\n":  # what is beside it is whole
                del others["abc"[line]]
            assert texts == others, (place, byte)
            if place < len(whole) - 1 and line < 2:
                assert f"notes.jsonl, line {line + 1}: altered" in str(journal.flaws[0])
            journal.append(Note(name="again", text="x"))
            journal.close()
            assert open_journal(path).get("again") == Note(name="again", text="x")
            path.write_bytes(whole)


def test_lines_lost_doubled_and_moved_are_named(path: Path) -> None:
    a, b, c = path.read_bytes().splitlines(keepends=True)
    for content, names, told in (
        (a + c, "ac", ["notes.jsonl, line 2: 1 before it is lost"]),
        (c, "c", ["notes.jsonl, line 1: 2 before it are lost"]),
        (a + b + b + c, "abc", ["notes.jsonl, line 3: here twice, and counted once"]),
        (
            b + a + c,
            "bac",
            ["notes.jsonl, line 1: 1 before it is lost", "notes.jsonl, line 2: out of its place"],
        ),
    ):
        path.write_bytes(content)
        journal = Journal(path, Note, Heading, lambda note: note.name)
        assert ("".join(note.name for note in journal), list(map(str, journal.flaws))) == (names, told)


def test_of_two_that_changed_places_the_later_one_counts(path: Path) -> None:
    journal = open_journal(path)
    journal.append(Note(name="a", text="new"))
    journal.close()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[3], *lines[1:3], lines[0]]))
    assert open_journal(path).get("a") == Note(name="a", text="new")


def test_lines_from_before_there_were_seals(path: Path) -> None:
    """They count; a line that has lost its seal does not pass for one of them, nor one amid sealed ones."""
    old, sealed = b'{"name":"old","text":"o"}\n', path.read_bytes()
    path.write_bytes(old + old.replace(b"old", b"odd"))
    journal = open_journal(path)
    journal.append(Note(name="new"))
    journal.close()
    both = path.read_bytes()
    journal = open_journal(path)
    assert ([note.name for note in journal], journal.flaws) == (["old", "odd", "new"], [])
    path.write_bytes(both + old)
    assert str(open_journal(path).flaws[0]) == "notes.jsonl, line 4: altered"
    first = sealed.splitlines(keepends=True)[0]
    bare = first[: first.index(b',"seq"')] + b"}\n"
    for damaged in (bare, bare.replace(b"aaaaa", b"aa")):
        path.write_bytes(sealed.replace(first, damaged))
        journal = open_journal(path)
        assert ([note.name for note in journal], str(journal.flaws[0])) == (
            ["b", "c"],
            "notes.jsonl, line 1: altered",
        )
    path.write_bytes(sealed.replace(b"aaaaa", b"aaxaa").replace(b"bbbbb", b"bb").replace(b"ccccc", b"ccc"))
    assert (len(open_journal(path)), open_journal(path).damaged) == (0, 3), "not one has a seal that holds"
    path.write_bytes(b'{"name":"deep","text":' + b"[" * 9000 + b"\n" + old)
    journal = open_journal(path)
    assert ([note.name for note in journal], journal.damaged) == (["old"], 1)


def test_lines_that_are_broken_beside_each_other_keep_their_numbers(path: Path) -> None:
    """Each is told once, none counts as lost besides, and what is appended is numbered after all of them."""
    a, _, c = path.read_bytes().splitlines(keepends=True)
    old, bad = b'{"name":"old","text":"o"}\n', b"\x00\n"
    for content, broken, number in (
        (a + bad + c, 1, 4),
        (a + bad + bad, 2, 4),
        (old + bad + bad + old, 2, 5),
    ):
        path.write_bytes(content)
        journal = open_journal(path)
        journal.append(Note(name="d"))
        journal.close()
        assert b'"seq":%d,' % number in path.read_bytes().splitlines()[-1]
        journal = open_journal(path)
        assert [flaw.what for flaw in journal.flaws] == ["altered"] * broken
        assert journal.get("d") == Note(name="d")


def test_damage_while_it_is_open(path: Path) -> None:
    """What was whole when the file was indexed and is no more is not handed out, and nothing is added to a file
    that somebody else has changed."""
    journal, whole = open_journal(path), path.read_bytes()
    path.write_bytes(whole.replace(b"bbbbb", b"bbxbb"))
    with pytest.raises(RunError, match="altered while this process was at work"):
        journal.get("b")
    path.write_bytes(whole[:-3])
    with pytest.raises(RunError, match="changed by another program"):
        journal.append(Note(name="d"))


def test_later_record_replaces_and_uncounted_ones_do_not(path: Path) -> None:
    journal = open_journal(path)
    journal.append(Note(name="a", text="new"))
    journal.append(Note(name="b", text="broken", counts=False))
    assert journal.get("a") == Note(name="a", text="new")
    assert journal.get("b") == Note(name="b", text="bbbbb")
    assert [note.name for note in journal] == ["a", "b", "c"]
    assert len(list(journal.every(Heading))) == 5


def test_who_waits_for_the_disk_together_waits_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And closing sees to what nobody waited for, and gives the file back."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_size))

    async def main() -> None:
        journal.append(Note(name="d"))
        await asyncio.gather(*(journal.on_disk() for _ in range(5)))
        await journal.on_disk()
        assert synced == [path.stat().st_size]
        journal.append(Note(name="e"))
        await journal.on_disk()
        assert synced[1:] == [path.stat().st_size]

    journal = open_journal(path)
    asyncio.run(main())
    journal.append(Note(name="f"))
    files = len(list(Path("/proc/self/fd").iterdir()))
    journal.close()
    journal.close()
    assert synced[2:] == [path.stat().st_size]
    assert len(list(Path("/proc/self/fd").iterdir())) == files - 1


_FILL = """
import resource, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_journal import Note, open_journal
from sera.errors import RunError
journal = open_journal(Path({path!r}))
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))
try:
    journal.append(Note(name="d", text="x" * 100_000))
except RunError as problem:
    print(problem)
journal.append(Note(name="e", text="small"))
"""


def test_full_disk_leaves_no_half_record(path: Path) -> None:
    """A file size limit stands for the disk: part of the line fits, the rest does not."""
    script = _FILL.format(tests=str(Path(__file__).parent), path=str(path), limit=path.stat().st_size + 5_000)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True
    )
    assert "free some space" in done.stdout
    assert [note.name for note in open_journal(path)] == ["a", "b", "c", "e"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_writing_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises((RunError, NotADirectoryError)):
        open_journal(tmp_path / "file" / "notes.jsonl")
