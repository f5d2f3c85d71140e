"""The tool `str_replace_editor`: views, creates and edits text files inside the sandbox.

Nothing that goes wrong in a file is an exception here: every outcome is a text for the model. One
editor belongs to one rollout, because it remembers the edits that `undo_edit` takes back.
"""

import hashlib
import posixpath
from collections.abc import Callable
from typing import Any

from sera.agent import textfiles
from sera.agent.controls import meant, shown
from sera.agent.outline import number, outline, split_lines
from sera.agent.textfiles import TextFile
from sera.harness import Profile
from sera.redaction import placeholders
from sera.sandboxes.contract import Sandbox

_CONTEXT = 4
"""Lines shown around an edit."""
_LISTED = 3
"""Line numbers named when old_str is found in several places."""
_LOOKED_AT = 100
"""Places that are compared with an old_str that is nowhere."""
_MARK = "\ufeff"
_REMOVE = 'rm -f -- "$(readlink -f -- "$1")"'
_REMOVAL_SECONDS = 20.0


class Editor:
    """Edits files of one sandbox and answers in the words of one profile.

    What it shows of a file has gone through `clean` as a whole, so that a secret of several lines is
    also found where only some of them are shown. What it writes has not. Control characters are shown as
    signs, and what is to be replaced may name them by these.
    """

    def __init__(
        self, sandbox: Sandbox, profile: Profile, clip: int, clean: Callable[[str], str] = str
    ) -> None:
        self._sandbox = sandbox
        self._profile = profile
        self._clip = clip
        self._clean = clean
        self._history: dict[str, list[tuple[bytes | None, bytes]]] = {}
        """The edits of each path: what it held before, None if it was not there, and the digest of what it
        held afterwards."""
        self._commands = {
            "view": self._view,
            "create": self._create,
            "str_replace": self._replace,
            "insert": self._insert,
            "undo_edit": self._undo,
        }

    async def __call__(self, arguments: dict[str, Any]) -> str:
        """Carry out one checked call; the answer is the observation without its prefix."""
        path = arguments["path"]
        if not path.startswith("/"):
            suggestion = posixpath.join(self._sandbox.workdir, path)
            return self._say("relative", path=path, suggestion=suggestion)
        try:
            return shown(await self._commands[arguments["command"]](posixpath.normpath(path), arguments))
        except FileNotFoundError:
            return self._say("not_found", path=path)
        except IsADirectoryError:
            return self._say("is_directory", path=path)
        except NotADirectoryError:
            return self._say("not_directory", path=path)
        except UnicodeDecodeError:
            return self._say("binary", path=path)
        except UnicodeEncodeError as problem:
            lacking = f"{problem.encoding} has no {problem.object[problem.start]!r}"
            return self._say("unreadable", path=path, problem=lacking)
        except OSError as problem:
            return self._say("unreadable", path=path, problem=problem.strerror or problem)

    # ── view ──────────────────────────────────────────────────────────────────────────────────────

    async def _view(self, path: str, arguments: dict[str, Any]) -> str:
        try:
            text = self._clean((await self._read(path)).text)
        except IsADirectoryError:
            return await self._view_directory(path)
        if not text:
            return self._say("view_empty", path=path)
        if "view_range" in arguments:
            return self._view_range(path, split_lines(text), arguments["view_range"])
        return self._view_file(path, text)

    async def _view_directory(self, path: str) -> str:
        entries = await self._sandbox.list(path, depth=2)
        listing = "\n".join(posixpath.join(path, entry.path) + "/" * entry.is_dir for entry in entries)
        return self._say("view_directory", path=path, listing=listing)

    def _view_range(self, path: str, lines: list[str], wanted: list[int]) -> str:
        first, last = wanted if len(wanted) == 2 else (0, 0)
        last = len(lines) if last == -1 else min(last, len(lines))
        if not 1 <= first <= last:
            return self._say("bad_range", lines=len(lines))
        return self._say("view_file", path=path, listing=number(lines[first - 1 : last], first))

    def _view_file(self, path: str, text: str) -> str:
        lines = split_lines(text)
        listing = number(lines)
        if len(listing) > self._clip and path.endswith(".py") and (short := outline(text)):
            return self._say("view_outline", path=path, lines=len(lines), listing=short)
        return self._say("view_file", path=path, listing=listing)

    # ── edits ─────────────────────────────────────────────────────────────────────────────────────

    async def _create(self, path: str, arguments: dict[str, Any]) -> str:
        if "file_text" not in arguments:
            return self._missing("file_text", "create")
        try:
            await self._sandbox.read(path)
        except FileNotFoundError:
            await self._write(path, None, textfiles.NEW.rewritten(path, arguments["file_text"]))
            return self._say("created", path=path)
        except IsADirectoryError:
            pass
        return self._say("exists", path=path)

    async def _replace(self, path: str, arguments: dict[str, Any]) -> str:
        """Where the file has CRLF, what is looked for and what is put there have either. Only what differs
        between the two is written, so that every other line keeps its end."""
        if not arguments.get("old_str"):
            return self._missing("old_str", "str_replace")
        file = await self._read(path)
        old, new = arguments["old_str"], arguments.get("new_str", "")
        if file.marked:
            old, new = old.removeprefix(_MARK), new.removeprefix(_MARK)
        text = file.text.replace("\r\n", "\n")
        if len(text) < len(file.text):
            old, new = old.replace("\r\n", "\n"), new.replace("\r\n", "\n")
        if old == new:
            return self._say("same")
        if old not in text and meant(old) in text:
            old, new = meant(old), meant(new)
        if (count := text.count(old)) != 1:
            return self._not_once(path, text, old, count)
        at = text.index(old)
        same = len(posixpath.commonprefix([old, new]))
        same_end = len(posixpath.commonprefix([old[same:][::-1], new[same:][::-1]]))
        start = _place(file.text, text, at + same)
        end = _place(file.text, text, at + len(old) - same_end)
        put = new[same : len(new) - same_end].replace("\n", _line_end(file.text, start))
        await self._write(path, file.content, file.rewritten(path, file.text[:start] + put + file.text[end:]))
        head = text[:at] + new
        return self._edited("edited", path, head, at, text[at + len(old) :])

    def _not_once(self, path: str, text: str, old: str, count: int) -> str:
        if count:
            places = [text[:start].count("\n") + 1 for start in _occurrences(text, old)]
            shown_lines = ", ".join(map(str, places[:_LISTED])) + " …" * (count > _LISTED)
            return self._say("many_matches", path=path, count=count, lines=shown_lines)
        if placeholders([old]):
            return self._say("no_match_redacted", path=path)
        for template, bare in (("no_match_trailing", str.rstrip), ("no_match_hint", str.strip)):
            if line := _line_of(text, old, bare):
                return self._say(template, path=path, line=line)
        if found := _nearest(text, old):
            return self._say("no_match_text", path=path, line=found[0], other=found[1])
        return self._say("no_match", path=path)

    async def _insert(self, path: str, arguments: dict[str, Any]) -> str:
        for name in ("insert_line", "new_str"):
            if name not in arguments:
                return self._missing(name, "insert")
        file = await self._read(path)
        lines = split_lines(file.text, keepends=True)
        line = arguments["insert_line"]
        if not 0 <= line <= len(lines):
            return self._say("bad_line", path=path, lines=len(lines))
        head, tail = "".join(lines[:line]), "".join(lines[line:])
        ending = _line_end(file.text, max(len(head) - 1, 0))
        if head and not head.endswith("\n"):
            head += ending
        new = arguments["new_str"]
        if ending == "\r\n":
            new = new.replace("\r\n", "\n")
        new = "".join(part + ending for part in new.split("\n")).removesuffix(ending) + ending
        await self._write(path, file.content, file.rewritten(path, head + new + tail))
        return self._edited("edited", path, head + new, len(head), tail)

    async def _undo(self, path: str, arguments: dict[str, Any]) -> str:  # noqa: ARG002 - one signature for all
        """What cannot be taken back stays the last edit: the file is gone, or is not as that edit left it."""
        now = await self._sandbox.read(path)
        if not self._history.get(path):
            return self._say("nothing_to_undo", path=path)
        before, left = self._history[path][-1]
        if _digest(now) != left:
            return self._say("undo_changed", path=path)
        if before is None:
            removed = await self._sandbox.execute(["sh", "-c", _REMOVE, "sh", path], _REMOVAL_SECONDS)
            if removed.exit_code != 0:
                return self._say("unreadable", path=path, problem=removed.output.strip())
            self._history[path].pop()
            return self._say("undone_file", path=path)
        await self._sandbox.write(path, before)
        self._history[path].pop()
        text, other = (textfiles.read(path, content).text for content in (before, now))
        same = len(posixpath.commonprefix([text, other]))
        return self._edited("undone", path, text[: same + 1], same, text[same + 1 :])

    # ── helpers ───────────────────────────────────────────────────────────────────────────────────

    def _say(self, template: str, **values: object) -> str:
        return self._profile.say(template, **values)

    def _missing(self, name: str, command: str) -> str:
        problem = f"{name} is missing, which {command} needs"
        return self._say("bad_arguments", name="str_replace_editor", problem=problem)

    async def _read(self, path: str) -> TextFile:
        return textfiles.read(path, await self._sandbox.read(path))

    async def _write(self, path: str, before: bytes | None, after: bytes) -> None:
        await self._sandbox.write(path, after)
        self._history.setdefault(path, []).append((before, _digest(after)))

    def _edited(self, template: str, path: str, head: str, start: int, tail: str) -> str:
        """Show the lines from `start` to the end of `head`, with some context on both sides."""
        lines = split_lines(self._clean(head + tail))
        first = max(1, head[:start].count("\n") + 1 - _CONTEXT)
        last = min(len(lines), head.count("\n") + 1 + _CONTEXT)
        return self._say(template, path=path, listing=number(lines[first - 1 : last], first))


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _place(text: str, plain: str, position: int) -> int:
    """Where in `text` stands what is at `position` in `plain`, the same with LF for CRLF."""
    after = text.split("\n", plain.count("\n", 0, position))[-1]
    return len(text) - len(after) + position - (plain.rfind("\n", 0, position) + 1)


def _line_end(text: str, position: int) -> str:
    """How the line at `position` ends, or the one before if it is the last and does not."""
    end = text.find("\n", position)
    end = end if end >= 0 else text.rfind("\n", 0, position)
    return "\r\n" if text[max(end - 1, 0) : end] == "\r" else "\n"


def _line_of(text: str, old: str, bare: Callable[[str], str]) -> int:
    """The line where `old` stands if each line of both is made bare and line breaks around it do not count;
    0 if nowhere, or if nothing is left of it."""
    everything, wanted = ("\n".join(map(bare, part.split("\n"))) for part in (text, old.strip("\n")))
    start = everything.find(wanted) if wanted else -1
    return everything.count("\n", 0, start) + 1 if start >= 0 else 0


def _nearest(text: str, old: str) -> tuple[int, int] | None:
    """The line where most of the first lines of `old` stand, but for their indentation, and the first line
    there that is another."""
    lines = [line.strip() for line in split_lines(text)]
    wanted = [line.strip() for line in split_lines(old.strip())]
    starts = [n for n, line in enumerate(lines) if wanted and line == wanted[0]][:_LOOKED_AT]
    if not starts:
        return None
    alike = [_alike(lines[start : start + len(wanted)], wanted) for start in starts]
    best = alike.index(max(alike))
    return starts[best] + 1, starts[best] + alike[best] + 1


def _alike(lines: list[str], wanted: list[str]) -> int:
    """How many lines are the same from the first on."""
    pairs = enumerate(zip(lines, wanted, strict=False))
    return next((n for n, (line, other) in pairs if line != other), min(len(lines), len(wanted)))


def _occurrences(text: str, part: str) -> list[int]:
    """Start of every place where `part` stands, not overlapping."""
    starts, start = [], text.find(part)
    while start != -1:
        starts.append(start)
        start = text.find(part, start + len(part))
    return starts
