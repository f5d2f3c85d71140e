"""The paper's recall, written a second time from its definition, against ours on thousands of diffs; and
the diffs on which the paper's figure goes wrong and ours do not.

The definition: of both patches, the added and removed lines as a multiset; the sign and the indentation
belong to a line; blank lines are skipped; file names play no part; a header is what begins like one.
"""

import random
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from sera.generation.recall import compare

# ── the second implementation: sorted lists walked side by side, no dictionary, no parser ─────────


def counted(diff: str) -> list[str]:
    """The lines that count, sorted."""
    lines = []
    for line in diff.split("\n"):
        sign, body = line[:1], line[1:]
        if sign not in ("+", "-") or line[:3] == sign * 3 or not body.split():
            continue
        lines.append(line)
    return sorted(lines)


def in_common(some: Sequence[str], others: Sequence[str]) -> int:
    """Size of the intersection of two sorted multisets."""
    common = i = j = 0
    while i < len(some) and j < len(others):
        if some[i] == others[j]:
            common, i, j = common + 1, i + 1, j + 1
        elif some[i] < others[j]:
            i += 1
        else:
            j += 1
    return common


def check(first: str, second: str) -> float:
    """Both implementations on one pair; the recall that they agree on."""
    mine, theirs = counted(first), counted(second)
    common = in_common(mine, theirs)
    found = compare(first, second)
    assert (found.lines_a, found.lines_b, found.common) == (len(mine), len(theirs), common), (first, second)
    assert found.recall == (common / len(mine) if mine else 0.0)
    assert 0 <= found.place_recall <= 1
    assert 0 <= found.file_recall <= 1
    return found.recall


# ── random diffs ──────────────────────────────────────────────────────────────────────────────────

PIECES = [
    "diff --git a/x b/x",
    "--- a/x",
    "+++ b/x",
    "--- x",
    "+++ x",
    "---",
    "+++",
    "++",
    "--",
    "-- drop table",
    "+-- drop table",
    "--- drop table",
    "@@ -1,2 +1,2 @@",
    "@@ -0,0 +1 @@",
    "rename from x",
    "rename to y",
    "Binary files a/x and b/x differ",
    "\\ No newline at end of file",
    "+x = 1",
    "-x = 1",
    "+    x = 1",
    "-    x = 1",
    "+\tx = 1",
    "+x = 1 ",
    " x = 1",
    "+",
    "-",
    "+  ",
    "-\t",
    "+\xa0",
    "-\u3000",
    "+\x0c",
    "+\x1c",
    "+x = 1\r",
    "+a\rb",
    "+a\x0bb",
    "+\u2028x",
    "+é",
    "-字",
    "x = 1",
    "",
]


def random_diff(dice: random.Random) -> str:
    """Anything that could be taken for a diff, mostly none that a parser accepts."""
    lines = dice.choices(PIECES, k=dice.randrange(14))
    return "\n".join(lines) + dice.choice(["", "\n", "\n\n"])


def test_on_random_texts() -> None:
    dice = random.Random(1)
    recalls = [check(random_diff(dice), random_diff(dice)) for _ in range(6_000)]
    assert sum(0 < recall < 1 for recall in recalls) > 1_000
    assert recalls.count(0) > 500
    assert recalls.count(1) > 100


# ── real diffs, made by git from edited copies of real sources ────────────────────────────────────

SOURCES = (
    "json/decoder.py",
    "textwrap.py",
    "shlex.py",
    "sched.py",
    "queue.py",
    "bisect.py",
    "csv.py",
    "glob.py",
)
SQL = "-- the shop's tables\nCREATE TABLE cart (id INTEGER);\n-- one line a thing\nCREATE TABLE thing (cart INTEGER);\n"
EDITS, BATCH = 120, 40


def tree() -> dict[str, bytes]:
    """Real modules of this Python, a SQL file with comments, a binary file."""
    library = Path(random.__file__).parent
    files = {f"lib/{name}": (library / name).read_bytes() for name in SOURCES}
    return {**files, "shop.sql": SQL.encode() * 3, "icon.bin": bytes(range(256))}


def edit(files: dict[str, bytes], dice: random.Random) -> dict[str, bytes]:
    """A few small changes of all kinds. They are drawn from few places, so that two edits often overlap."""
    files = dict(files)
    for _ in range(dice.randrange(1, 4)):
        name = dice.choice(sorted(files))
        if name == "icon.bin":
            files[name] = bytes(dice.randrange(256) for _ in range(64))
            continue
        lines = files[name].decode().split("\n")
        at = dice.randrange(0, len(lines), 1 + len(lines) // 6)
        match dice.randrange(9):
            case 0:
                del lines[at : at + dice.randrange(1, 4)]
            case 1:
                lines[at:at] = ["", "def added(self):", "    return None", ""]
            case 2:
                lines[at : at + 3] = [f"    {line}" for line in lines[at : at + 3]]
            case 3:
                lines[at : at + 4] = [line.replace("self", "this") for line in lines[at : at + 4]]
            case 4:
                block = lines[at : at + 5]
                del lines[at : at + 5]
                lines += block
            case 5:
                files[f"moved/{Path(name).name}"] = files.pop(name)
                continue
            case 6:
                lines = [line + "\r" for line in lines[:8]] + lines[8:]
            case 7:
                lines = "\n".join(lines).rstrip("\n").split("\n")
            case _:
                files["lib/new.py"] = "\n".join(lines[at : at + 6]).encode()
                continue
        files[name] = "\n".join(lines).encode()
    return files


def git(folder: Path, *arguments: str, given: bytes = b"") -> bytes:
    command = ["git", "-C", str(folder), "-c", "core.quotePath=false", *arguments]
    return subprocess.run(command, input=given, capture_output=True, check=True, timeout=60).stdout


def import_stream(trees: Sequence[dict[str, bytes]]) -> Iterator[bytes]:
    """A fast-import stream: the first tree, and every other as a commit on a branch from it."""
    for number, files in enumerate(trees):
        yield b"commit refs/heads/b%d\nmark :%d\ncommitter t <t> %d +0000\ndata 0\n" % (
            number,
            number + 1,
            number,
        )
        yield b"from :1\ndeleteall\n" if number else b""
        for name, data in files.items():
            yield b"M 100644 inline %b\ndata %d\n%b\n" % (name.encode(), len(data), data)


def real_diffs(folder: Path, trees: Sequence[dict[str, bytes]], *options: str) -> list[str]:
    """git's own diff of every tree against the first."""
    git(folder, "init", "-q", "-b", "b0")
    git(folder, "fast-import", "--quiet", given=b"".join(import_stream(trees)))
    branches = "".join(f"b{number}\n" for number in range(1, len(trees)))
    out = git(
        folder,
        "log",
        "--no-walk=unsorted",
        "--stdin",
        "-p",
        "-M",
        "--format=%x00",
        *options,
        given=branches.encode(),
    )
    return [text.lstrip("\n") for text in out.decode("utf-8", "surrogateescape").split("\0")[1:]]


@pytest.fixture(scope="module")
def diffs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    dice = random.Random(2)
    base = tree()
    return real_diffs(
        tmp_path_factory.mktemp("repo"), [base, *(edit(base, dice) for _ in range(EDITS))], "-U1"
    )


def test_on_real_diffs(diffs: list[str]) -> None:
    assert len(diffs) == EDITS
    text = "\n".join(diffs)
    for sign in ("rename from", "Binary files", "new file mode", "--- the shop", "No newline", "\r\n"):
        assert sign in text
    recalls = [
        check(diffs[start + one], diffs[start + other])
        for start in range(0, EDITS, BATCH)
        for one in range(BATCH)
        for other in range(BATCH)
    ]
    assert len(recalls) + 6_000 > 10_000
    assert sum(0 < recall < 1 for recall in recalls) > 100
    assert recalls.count(1) > EDITS / 2


def test_a_real_diff_is_found_again_in_itself_by_every_measure(diffs: list[str]) -> None:
    for diff in diffs:
        agreement = compare(diff, diff)
        if diff:
            assert (agreement.file_recall, agreement.place_recall) == (1, 1)


@pytest.mark.soak
def test_on_diffs_between_releases(tmp_path: Path) -> None:
    """Every file that changed from one release of a package to the next, against every other change of it."""
    pairs = 0
    for package, versions in RELEASES.items():
        trees = [unpack(package, version, tmp_path / package / version) for version in versions]
        (tmp_path / package / "repo").mkdir()
        steps = [
            real_diffs_between(tmp_path / package / "repo" / str(n), *two)
            for n, two in enumerate(pairwise(trees))
        ]
        whole = [file for step in steps for file in step]
        pairs += sum(1 for one in whole for other in whole if check(one, other) >= 0)
    assert pairs >= 5_000


RELEASES = {
    "click": ("8.0.0", "8.1.0", "8.1.7", "8.2.0"),
    "packaging": ("21.3", "22.0", "23.2", "24.2"),
    "idna": ("2.10", "3.4", "3.7", "3.10"),
    "jinja2": ("3.0.3", "3.1.0", "3.1.6"),
}


def unpack(package: str, version: str, folder: Path) -> dict[str, bytes]:
    """The files of a release's wheel, without the metadata, whose folder is named after the version."""
    wanted = [f"{package}=={version}", "--no-deps", "--only-binary", ":all:"]
    command = [sys.executable, "-m", "pip", "download", "-q", "-d", str(folder), *wanted]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (wheel,) = folder.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}


def real_diffs_between(folder: Path, before: dict[str, bytes], after: dict[str, bytes]) -> list[str]:
    folder.mkdir()
    (diff,) = real_diffs(folder, [before, after])
    return [f"diff --git {part}" for part in diff.split("diff --git ")[1:]]


# ── where the paper's figure goes wrong ───────────────────────────────────────────────────────────


def made(folder: Path, before: dict[str, str], *after: dict[str, str]) -> list[str]:
    """git's diffs of small trees against one of them."""
    folder.mkdir()
    return real_diffs(
        folder, [{name: text.encode() for name, text in files.items()} for files in (before, *after)]
    )


BODY = "".join(f"line {number}\n" for number in range(20))
FUNCTION = "def f():\n    return 1\n\n\n"
OTHERS = [f"def g{n}():\n    return {n} + {n}\n\n\n" for n in range(3)]


def test_a_removed_sql_comment(tmp_path: Path) -> None:
    first, second = made(
        tmp_path / "r",
        {"q.sql": "-- old\nselect 1;\n-- kept\n"},
        {"q.sql": "select 1;\n-- kept\n"},
        {"q.sql": "-- old\nselect 1;\n"},
    )
    assert compare(first, first).recall == 0  # the definition takes `--- old` for a header
    assert compare(first, first).file_recall == compare(first, first).place_recall == 1
    assert compare(first, second).file_recall == 0


def test_a_rename(tmp_path: Path) -> None:
    before = {"old.py": BODY}
    first, renamed, edited = made(
        tmp_path / "r",
        before,
        {"new.py": BODY.replace("line 3\n", "line three\n")},
        {"new.py": BODY},
        {"old.py": BODY.replace("line 3\n", "line three\n")},
    )
    assert compare(first, edited).recall == 1  # without the rename, and by the definition all of it
    assert compare(first, edited).place_recall == 2 / 3
    assert compare(renamed, renamed).recall == 0
    assert compare(renamed, renamed).file_recall == compare(renamed, renamed).place_recall == 1
    assert compare(renamed, edited).file_recall == compare(renamed, edited).place_recall == 0


def test_the_same_line_in_another_file(tmp_path: Path) -> None:
    before = {"a.py": BODY, "b.py": BODY}
    first, second = made(
        tmp_path / "r", before, {**before, "a.py": BODY + "x\n"}, {**before, "b.py": BODY + "x\n"}
    )
    agreement = compare(first, second)
    assert (agreement.recall, agreement.file_recall, agreement.place_recall) == (1, 0, 0)


def test_code_that_both_moved_but_not_to_the_same_place(tmp_path: Path) -> None:
    """Removing it is half of the move, and that half they share."""
    first, second = made(
        tmp_path / "r",
        {"m.py": FUNCTION + "".join(OTHERS)},
        {"m.py": OTHERS[0] + FUNCTION + OTHERS[1] + OTHERS[2]},
        {"m.py": "".join(OTHERS) + FUNCTION},
    )
    agreement = compare(first, second)
    assert (agreement.recall, agreement.file_recall) == (1, 1)
    assert agreement.place_recall == 1 / 2
    assert compare(first, first).place_recall == 1


def test_code_that_was_moved_to_another_file(tmp_path: Path) -> None:
    before = {"m.py": FUNCTION + OTHERS[0], "a.py": BODY, "b.py": BODY}
    first, second = made(
        tmp_path / "r",
        before,
        {"m.py": OTHERS[0], "a.py": BODY + FUNCTION, "b.py": BODY},
        {"m.py": OTHERS[0], "a.py": BODY, "b.py": BODY + FUNCTION},
    )
    agreement = compare(first, second)
    assert (agreement.recall, agreement.file_recall, agreement.place_recall) == (1, 1 / 2, 1 / 2)


def test_the_same_line_added_elsewhere_in_the_file(tmp_path: Path) -> None:
    first, second = made(tmp_path / "r", {"a": BODY}, {"a": "return\n" + BODY}, {"a": BODY + "return\n"})
    agreement = compare(first, second)
    assert (agreement.recall, agreement.file_recall, agreement.place_recall) == (1, 1, 0)


def test_a_place_does_not_shift_with_what_else_was_changed(tmp_path: Path) -> None:
    first, second = made(
        tmp_path / "r",
        {"a": BODY},
        {"a": BODY.replace("line 15\n", "line fifteen\n")},
        {"a": "new\nnew\n" + BODY.replace("line 3\n", "").replace("line 15\n", "line fifteen\n")},
    )
    assert compare(first, second).place_recall == 1
    assert compare(second, first).place_recall == 2 / 5


def test_a_binary_file(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    trees: list[dict[str, bytes]] = [
        {"i": b"\0a", "x": b"1\n"},
        {"i": b"\0b", "x": b"1\n"},
        {"i": b"\0a", "x": b"2\n"},
    ]
    first, second = real_diffs(tmp_path / "r", trees)
    assert compare(first, first).recall == 0
    assert compare(first, first).file_recall == compare(first, first).place_recall == 1
    assert compare(first, second).place_recall == 0


def test_one_of_equal_lines_in_one_hunk(tmp_path: Path) -> None:
    """Both removed a `return`, and not the same one."""
    body = ["a\n", "return\n", "b\n", "return\n"]
    first, second = made(
        tmp_path / "r",
        {"m.py": "".join(body)},
        {"m.py": "".join(body[:1] + body[2:])},
        {"m.py": "".join(body[:3])},
    )
    agreement = compare(first, second)
    assert (agreement.recall, agreement.file_recall, agreement.place_recall) == (1, 1, 0)


def test_a_place_is_the_same_with_and_without_context() -> None:
    heads = "diff --git a/m.py b/m.py\n--- a/m.py\n+++ b/m.py\n"
    bare = heads + "@@ -2,0 +3 @@\n+new\n"
    around = heads + "@@ -1,4 +1,5 @@\n a\n b\n+new\n c\n d\n"
    assert compare(bare, around).place_recall == compare(around, bare).place_recall == 1


def test_a_created_file(tmp_path: Path) -> None:
    """Its lines are what was created; without any, that it is there."""
    first, renamed, other, empty = made(
        tmp_path / "r",
        {"a": BODY},
        {"a": BODY, "new.py": "x = 1\n"},
        {"a": BODY, "other.py": "x = 1\n"},
        {"a": BODY, "new.py": "y = 1\n"},
        {"a": BODY, "new.py": ""},
    )
    elsewhere = compare(first, renamed)
    assert (elsewhere.recall, elsewhere.file_recall, elsewhere.place_recall) == (1, 0, 0)
    assert compare(first, other).file_recall == compare(first, empty).file_recall == 0
    assert compare(empty, empty).file_recall == compare(empty, empty).place_recall == 1
