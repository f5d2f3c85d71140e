"""The editor, in a real sandbox: every command and everything that can go wrong with it."""

from typing import Any

import msgspec
import pytest

from sera.agent.editor import Editor
from sera.harness import Profile, load_profile
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


def bash(command: str) -> dict[str, Any]:
    """For `work_on`: a command in the shell instead of an edit."""
    return {"bash": command}


def insert(path: str, line: int, new: str) -> dict[str, Any]:
    return {"command": "insert", "path": path, "insert_line": line, "new_str": new}


def undo(path: str) -> dict[str, Any]:
    return {"command": "undo_edit", "path": path}


def work_on(
    in_sandbox: Any, path: str, content: bytes | None, *steps: dict[str, Any], profile: Profile = PROFILE
) -> tuple[list[str], bytes | None]:
    """The answers to edits, between commands, and what one file holds afterwards; None: it is not there."""

    async def work(sandbox: Sandbox) -> tuple[list[str], bytes | None]:
        if content is not None:
            await sandbox.write(path, content)
        editor, answers = Editor(sandbox, profile, clip=16_000), []
        for step in steps:
            if "bash" in step:
                assert (await sandbox.run(step["bash"], 10)).exit_code == 0
            else:
                answers.append(await editor(step))
        try:
            return answers, await sandbox.read(path)
        except FileNotFoundError:
            return answers, None

    return in_sandbox(work)


MIXED = b"[a]\r\nkey = 1\r\n\nother = 2\nlast = 3\r\nend"


@pytest.mark.parametrize(
    ("old", "new", "left"),
    [
        ("other = 2\nlast = 3\n", "other = 5\nlast = 3\n", MIXED.replace(b"2", b"5")),
        ("key = 1\n\nother", "key = 7\n\nother", MIXED.replace(b"1", b"7")),
        ("key = 1\r\n\nother", "key = 7\r\n\r\nother", MIXED.replace(b"1", b"7")),
        ("key = 1", "key = 1\nmore = 4", MIXED.replace(b"1\r\n", b"1\r\nmore = 4\r\n")),
        ("other = 2", "other = 2\nmore = 4", MIXED.replace(b"2\n", b"2\nmore = 4\n")),
        ("\n\nother = 2\n", "\nother = 2\n", MIXED.replace(b"\r\n\nother", b"\r\nother")),
        ("[a]\nkey = 1\n\nother = 2\nlast = 3\nend", "gone", b"gone"),
        ("3\nend", "3\nend\n", MIXED + b"\r\n"),
    ],
)
def test_every_line_of_a_mixed_file_keeps_its_end(in_sandbox: Any, old: str, new: str, left: bytes) -> None:
    path = "/testbed/mixed.ini"
    [answer], content = work_on(in_sandbox, path, MIXED, replace(path, old, new))
    assert "has been edited" in answer
    assert content == left


def test_what_differs_in_line_ends_alone_is_the_same(in_sandbox: Any) -> None:
    path = "/testbed/mixed.ini"
    answers, content = work_on(in_sandbox, path, MIXED, replace(path, "key = 1\n", "key = 1\r\n"))
    assert (answers, content) == ([PROFILE.say("same")], MIXED)


def test_inserted_lines_end_as_the_line_before_them(in_sandbox: Any) -> None:
    path = "/testbed/mixed.ini"
    _, content = work_on(
        in_sandbox, path, MIXED, insert(path, 4, "a\nb"), insert(path, 1, "c\r\nd"), insert(path, 0, "e")
    )
    assert content == b"e\r\n[a]\r\nc\r\nd\r\nkey = 1\r\n\nother = 2\na\nb\nlast = 3\r\nend"


def test_a_byte_order_mark_stays_in_front_of_what_is_inserted(in_sandbox: Any) -> None:
    path, mark = "/testbed/marked.py", b"\xef\xbb\xbf"
    (first, second, third), content = work_on(
        in_sandbox,
        path,
        mark + b"import os\n",
        insert(path, 0, '"""Top."""'),
        replace(path, '\ufeff"""Top', '\ufeff"""The top'),
        view(path),
        bash("python3 marked.py"),
    )
    assert content == mark + b'"""The top."""\nimport os\n'
    assert '     1\t"""Top."""\n     2\timport os' in first
    assert "has been edited" in second
    assert "\ufeff" not in third


def test_a_latin_file_is_edited_in_its_encoding(in_sandbox: Any) -> None:
    path, head = "/testbed/latin.py", b"# -*- coding: latin-1 -*-\n"
    (seen, edited, refused, undone), content = work_on(
        in_sandbox,
        path,
        head + b"name = '\xe9'\n",
        view(path),
        replace(path, "name = 'é'", "name = 'éü'"),
        bash("python3 -c 'import latin; assert latin.name == chr(233) + chr(252)'"),
        insert(path, 2, "x = '漢'"),
        undo(path),
    )
    assert "name = 'é'" in seen
    assert "name = 'éü'" in edited
    assert refused == PROFILE.say("unreadable", path=path, problem="latin-1 has no '漢'")
    assert "taken back" in undone
    assert content == head + b"name = '\xe9'\n"


def test_control_characters_are_shown_and_can_be_edited_as_shown(in_sandbox: Any) -> None:
    path = "/testbed/odd.py"
    raw = "RED = '\x1b[31m'\n\x0c\nend = '\0\r\x85\x7f'\n"
    (seen, edited, missed), content = work_on(
        in_sandbox,
        path,
        raw.encode(),
        view(path),
        replace(path, "'␛[31m'\n␌\nend = '␀␍⟨U+0085⟩␡'", "'␛[32m'\n␌\nend = '␀'"),
        replace(path, "'␛[33m'", "x"),
    )
    assert "RED = '␛[31m'\n     2\t␌\n     3\tend = '␀␍⟨U+0085⟩␡'" in seen
    assert "RED = '␛[32m'" in edited
    assert missed == PROFILE.say("no_match", path=path)
    assert content == b"RED = '\x1b[32m'\n\x0c\nend = '\0'\n"


def test_signs_that_stand_in_a_file_are_themselves(in_sandbox: Any) -> None:
    path = "/testbed/signs.py"
    _, content = work_on(in_sandbox, path, "S = '␛', '\x1b'\n".encode(), replace(path, "S = '␛'", "S = '␀␛'"))
    assert content == "S = '␀␛', '\x1b'\n".encode()


@pytest.mark.parametrize(
    ("old", "template", "values"),
    [
        ("def f():\n    a = 1\n", "no_match_trailing", {"line": 2}),
        ("    a = 1  \n    b = 2", "no_match_trailing", {"line": 3}),
        ("    return b\n\n", "no_match_trailing", {"line": 5}),
        ("  a = 1\n  b = 2\n", "no_match_hint", {"line": 3}),
        ("def f():\n    a = 1\n    c = 2\n", "no_match_text", {"line": 2, "other": 4}),
        ("x = 0\ndef g():\n    a = 1\n", "no_match_text", {"line": 1, "other": 2}),
        ("def h():\n    a = 1\n", "no_match", {}),
        ("\n\n\n\n", "no_match", {}),
    ],
)
def test_the_hint_names_what_differs(
    in_sandbox: Any, old: str, template: str, values: dict[str, int]
) -> None:
    path = "/testbed/near.py"
    content = b"x = 0\ndef f():   \n    a = 1\t\n    b = 2\n    return b"
    answers, after = work_on(in_sandbox, path, content, replace(path, old, "x"))
    assert answers == [PROFILE.say(template, path=path, **values)]
    assert after == content


def test_undo_leaves_what_a_command_has_changed(in_sandbox: Any) -> None:
    """And takes the edit back once that change is gone: it stays the last one."""
    path = "/testbed/one.py"
    (_, refused, again, undone), content = work_on(
        in_sandbox,
        path,
        b"a = 1\nb = 1\n",
        replace(path, "a = 1", "a = 2"),
        bash("cp one.py kept; sed -i s/b.*/b=9/ one.py"),
        undo(path),
        undo(path),
        bash("cp kept one.py"),
        undo(path),
    )
    assert refused == again == PROFILE.say("undo_changed", path=path)
    assert "taken back" in undone
    assert content == b"a = 1\nb = 1\n"


def test_undo_of_a_creation_removes_the_file(in_sandbox: Any) -> None:
    path = "/testbed/new dir/it's $(new).py"
    make = {"command": "create", "path": path, "file_text": "a = 1\n"}
    (_, _, undone, gone, nothing, again), content = work_on(
        in_sandbox, path, None, make, replace(path, "1", "2"), undo(path), undo(path), undo(path), make
    )
    assert "taken back" in undone
    assert gone == PROFILE.say("undone_file", path=path)
    assert nothing == PROFILE.say("not_found", path=path)
    assert again == PROFILE.say("created", path=path)
    assert content == b"a = 1\n"


def test_undo_of_a_creation_through_a_link_leaves_the_link(in_sandbox: Any) -> None:
    path = "/testbed/link.py"
    make = {"command": "create", "path": path, "file_text": "a = 1\n"}
    answers, content = work_on(
        in_sandbox, path, None, bash("ln -s target.py link.py"), make, undo(path),
        bash("test -L link.py && ! test -e target.py"),
    )  # fmt: skip
    assert answers[1] == PROFILE.say("undone_file", path=path)
    assert content is None


def test_undo_of_an_edit_of_an_empty_file_says_so(in_sandbox: Any) -> None:
    path = "/testbed/empty.py"
    (_, undone), content = work_on(in_sandbox, path, b"", insert(path, 0, "x = 1"), undo(path))
    assert undone == PROFILE.say("undone", path=path, listing="")
    assert content == b""


def test_undo_of_a_file_that_is_gone_keeps_the_step(in_sandbox: Any) -> None:
    path = "/testbed/one.py"
    (_, gone, undone), content = work_on(
        in_sandbox,
        path,
        b"a = 1\n",
        replace(path, "1", "2"),
        bash("mv one.py away"),
        undo(path),
        bash("mv away one.py"),
        undo(path),
    )
    assert gone == PROFILE.say("not_found", path=path)
    assert "taken back" in undone
    assert content == b"a = 1\n"


def test_a_profile_saved_before_has_true_words_for_everything(in_sandbox: Any) -> None:
    later = ("no_match_trailing", "no_match_text", "undone_file", "undo_changed")
    words = {name: said for name, said in PROFILE.observations.items() if name not in later}
    old = msgspec.structs.replace(PROFILE, observations=words)
    path = "/testbed/old.py"
    make = {"command": "create", "path": path, "file_text": "a = 1 \nb = 2\n"}
    answers, _ = work_on(
        in_sandbox, path, None, make,
        replace(path, "a = 1\nb", "x"),
        replace(path, "b = 2\nc", "x"),
        bash("echo >> old.py"),
        undo(path),
        bash("sed -i '$d' old.py"),
        undo(path),
        profile=old,
    )  # fmt: skip
    said = ("created", "no_match", "no_match", "nothing_to_undo", "not_found")
    assert answers == [old.say(name, path=path) for name in said]
