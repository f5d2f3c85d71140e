"""The editor, in a real sandbox: every command and everything that can go wrong with it."""

from typing import Any

import pytest

from sera.agent.editor import Editor
from sera.harness import load_profile
from sera.sandboxes import Sandbox

PROFILE = load_profile()


def edit(
    in_sandbox: Any, *calls: dict[str, Any], files: dict[str, bytes] | None = None
) -> tuple[list[str], dict[str, bytes]]:
    """Run editor calls one after the other; the answers, and the files named afterwards."""

    async def work(sandbox: Sandbox) -> tuple[list[str], dict[str, bytes]]:
        for path, content in (files or {}).items():
            await sandbox.write(path, content)
        editor = Editor(sandbox, PROFILE, clip=16_000)
        answers = [await editor(call) for call in calls]
        return answers, {path: await sandbox.read(path) for path in (files or {})}

    return in_sandbox(work)


def view(path: str, *view_range: int) -> dict[str, Any]:
    return {"command": "view", "path": path} | ({"view_range": list(view_range)} if view_range else {})


def replace(path: str, old: str, new: str) -> dict[str, Any]:
    return {"command": "str_replace", "path": path, "old_str": old, "new_str": new}


def test_view(in_sandbox: Any) -> None:
    whole, part, rest, directory = edit(
        in_sandbox,
        view("/testbed/tiny/text.py"),
        view("/testbed/tiny/text.py", 4, 5),
        view("/testbed/tiny/text.py", 18, -1),
        view("/testbed"),
    )[0]
    assert '     1\t"""Text helpers."""\n' in whole
    assert part.endswith(
        '     4\tdef shorten(text, width=10):\n     5\t    """Cut text to width characters."""'
    )
    assert rest.endswith("    18\t    return sep.join(kept)")
    assert "/testbed/tiny/\n/testbed/tiny/__init__.py\n" in directory
    assert ".git" not in directory


@pytest.mark.parametrize("view_range", [(0, 3), (5, 4), (99, -1), (1,), (1, 2, 3), (-3, -1)])
def test_bad_ranges_are_explained(in_sandbox: Any, view_range: tuple[int, ...]) -> None:
    [answer], _ = edit(in_sandbox, view("/testbed/tiny/text.py", *view_range))
    assert answer == PROFILE.say("bad_range", lines=18)


def test_range_past_the_end_shows_what_there_is(in_sandbox: Any) -> None:
    [answer], _ = edit(in_sandbox, view("/testbed/tiny/text.py", 17, 500))
    assert answer.count("\t") == 2


def test_long_python_file_is_outlined_and_ranges_are_not(in_sandbox: Any) -> None:
    body = "".join(
        f"def f{n}(x):\n    '''Doc {n}.'''\n" + "    x += 1\n" * 20 + "    return x\n\n\n" for n in range(100)
    )
    outlined, part = edit(
        in_sandbox,
        view("/testbed/long.py"),
        view("/testbed/long.py", 1, 30),
        files={"/testbed/long.py": body.encode()},
    )[0]
    assert "is an outline" in outlined.splitlines()[0]
    assert "def f99(x):" in outlined
    assert "'''Doc 99.'''" in outlined
    assert "lines 3 to 23" in outlined
    assert outlined.count("x += 1") == 0
    assert part.count("x += 1") == 20 + 3


def test_create_never_overwrites(in_sandbox: Any) -> None:
    make = {"command": "create", "path": "/testbed/new/deep.py", "file_text": "a = 1\n"}
    over = {"command": "create", "path": "/testbed/tiny/text.py", "file_text": ""}
    directory = {"command": "create", "path": "/testbed/tiny", "file_text": ""}
    answers, _ = edit(in_sandbox, make, make, over, directory, {"command": "create", "path": "/testbed/x"})
    assert answers[0] == PROFILE.say("created", path="/testbed/new/deep.py")
    assert answers[1] == PROFILE.say("exists", path="/testbed/new/deep.py")
    assert answers[2] == PROFILE.say("exists", path="/testbed/tiny/text.py")
    assert answers[3] == PROFILE.say("exists", path="/testbed/tiny")
    assert "file_text is missing" in answers[4]


def test_replace_shows_the_place_and_undo_takes_it_back(in_sandbox: Any) -> None:
    path, before = "/testbed/a.py", b"one = 1\ntwo = 2\nthree = 3\n"
    answers, files = edit(
        in_sandbox,
        replace(path, "two = 2\n", "two = 22\nmore = 0\n"),
        {"command": "insert", "path": path, "insert_line": 0, "new_str": "# top"},
        {"command": "undo_edit", "path": path},
        {"command": "undo_edit", "path": path},
        {"command": "undo_edit", "path": path},
        files={path: before},
    )
    assert "     2\ttwo = 22\n     3\tmore = 0\n" in answers[0]
    assert "     1\t# top\n     2\tone = 1\n" in answers[1]
    assert "taken back" in answers[2]
    assert "taken back" in answers[3]
    assert answers[4] == PROFILE.say("nothing_to_undo", path=path)
    assert files[path] == before


def test_replace_refusals(in_sandbox: Any) -> None:
    path = "/testbed/a.py"
    content = "def f():\n    x = 1\n    x = 1\n    return x\n"
    answers, files = edit(
        in_sandbox,
        replace(path, "x = 1", "x = 2"),
        replace(path, "  return x\n", "  return x\n"),
        replace(path, "\treturn x", "return y"),
        replace(path, "nowhere", "x"),
        replace(path, "", "x"),
        files={path: content.encode()},
    )
    assert answers[0] == PROFILE.say("many_matches", path=path, count=2, lines="2, 3")
    assert answers[1] == PROFILE.say("same")
    assert answers[2] == PROFILE.say("no_match_hint", path=path, line=4)
    assert answers[3] == PROFILE.say("no_match", path=path)
    assert "old_str is missing" in answers[4]
    assert files[path] == content.encode()


def test_line_ends_are_kept(in_sandbox: Any) -> None:
    path = "/testbed/dos.txt"
    _, files = edit(
        in_sandbox,
        replace(path, "one\ntwo\n", "one\n2\n"),
        {"command": "insert", "path": path, "insert_line": 3, "new_str": "end\nof file"},
        files={path: b"one\r\ntwo\r\nthree"},
    )
    assert files[path] == b"one\r\n2\r\nthree\r\nend\r\nof file\r\n"


def test_insert_bounds(in_sandbox: Any) -> None:
    path = "/testbed/README.md"
    insert = {"command": "insert", "path": path, "new_str": "x"}
    answers, _ = edit(in_sandbox, insert | {"insert_line": 2}, insert | {"insert_line": -1}, insert)
    assert answers[0] == PROFILE.say("bad_line", path=path, lines=1)
    assert answers[1] == PROFILE.say("bad_line", path=path, lines=1)
    assert "insert_line is missing" in answers[2]


def test_wrong_places_are_named(in_sandbox: Any) -> None:
    answers, _ = edit(
        in_sandbox,
        view("tiny/text.py"),
        view("/testbed/none.py"),
        replace("/testbed/tiny", "a", "b"),
        view("/testbed/README.md/below"),
        view("/testbed/blob"),
        {"command": "create", "path": "/usr/lib/new", "file_text": "x"},
        files={"/testbed/blob": b"\xff\xfe\x00"},
    )
    assert answers[0] == PROFILE.say("relative", path="tiny/text.py", suggestion="/testbed/tiny/text.py")
    assert answers[1] == PROFILE.say("not_found", path="/testbed/none.py")
    assert answers[2] == PROFILE.say("is_directory", path="/testbed/tiny")
    assert answers[3] == PROFILE.say("not_directory", path="/testbed/README.md/below")
    assert answers[4] == PROFILE.say("binary", path="/testbed/blob")
    assert answers[5].startswith("/usr/lib/new could not be read or written: Read-only file system")
