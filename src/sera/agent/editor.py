"""The tool `str_replace_editor`: views, creates and edits text files inside the sandbox.

Nothing that goes wrong in a file is an exception here: every outcome is a text for the model. One
editor belongs to one rollout, because it remembers the edits that `undo_edit` takes back.
"""

import posixpath
from collections.abc import Callable
from typing import Any

from sera.agent.outline import number, outline, split_lines
from sera.harness import Profile
from sera.redaction import placeholders
from sera.sandboxes.contract import Sandbox

_CONTEXT = 4
"""Lines shown around an edit."""
_LISTED = 3
"""Line numbers named when old_str is found in several places."""


class Editor:
    """Edits files of one sandbox and answers in the words of one profile.

    What it shows of a file has gone through `clean` as a whole, so that a secret of several lines is
    also found where only some of them are shown. What it writes has not.
    """

    def __init__(
        self, sandbox: Sandbox, profile: Profile, clip: int, clean: Callable[[str], str] = str
    ) -> None:
        self._sandbox = sandbox
        self._profile = profile
        self._clip = clip
        self._clean = clean
        self._history: dict[str, list[str]] = {}
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
            return await self._commands[arguments["command"]](posixpath.normpath(path), arguments)
        except FileNotFoundError:
            return self._say("not_found", path=path)
        except IsADirectoryError:
            return self._say("is_directory", path=path)
        except NotADirectoryError:
            return self._say("not_directory", path=path)
        except UnicodeDecodeError:
            return self._say("binary", path=path)
        except OSError as problem:
            return self._say("unreadable", path=path, problem=problem.strerror or problem)

    # ── view ──────────────────────────────────────────────────────────────────────────────────────

    async def _view(self, path: str, arguments: dict[str, Any]) -> str:
        try:
            text = self._clean(await self._read(path))
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
            await self._write(path, "", arguments["file_text"])
            return self._say("created", path=path)
        except IsADirectoryError:
            pass
        return self._say("exists", path=path)

    async def _replace(self, path: str, arguments: dict[str, Any]) -> str:
        if not arguments.get("old_str"):
            return self._missing("old_str", "str_replace")
        old, new = arguments["old_str"], arguments.get("new_str", "")
        if old == new:
            return self._say("same")
        text = await self._read(path)
        if "\r\n" in text:
            old, new = (part.replace("\r\n", "\n").replace("\n", "\r\n") for part in (old, new))
        if (count := text.count(old)) != 1:
            return self._not_once(path, text, old, count)
        start = text.index(old)
        await self._write(path, text, text[:start] + new + text[start + len(old) :])
        return self._edited("edited", path, text[:start] + new, start, text[start + len(old) :])

    def _not_once(self, path: str, text: str, old: str, count: int) -> str:
        lines = split_lines(text)
        wanted = next((line.strip() for line in old.splitlines() if line.strip()), "")
        if count:
            places = [text[:start].count("\n") + 1 for start in _occurrences(text, old)]
            shown = ", ".join(map(str, places[:_LISTED])) + " …" * (count > _LISTED)
            return self._say("many_matches", path=path, count=count, lines=shown)
        if placeholders([old]):
            return self._say("no_match_redacted", path=path)
        near = next((n for n, line in enumerate(lines, 1) if wanted and line.strip() == wanted), None)
        return self._say("no_match_hint", path=path, line=near) if near else self._say("no_match", path=path)

    async def _insert(self, path: str, arguments: dict[str, Any]) -> str:
        for name in ("insert_line", "new_str"):
            if name not in arguments:
                return self._missing(name, "insert")
        text = await self._read(path)
        lines = split_lines(text, keepends=True)
        line, ending = arguments["insert_line"], "\r\n" if "\r\n" in text else "\n"
        if not 0 <= line <= len(lines):
            return self._say("bad_line", path=path, lines=len(lines))
        head, tail = "".join(lines[:line]), "".join(lines[line:])
        if head and not head.endswith("\n"):
            head += ending
        new = (
            "".join(part + ending for part in arguments["new_str"].split("\n")).removesuffix(ending) + ending
        )
        await self._write(path, text, head + new + tail)
        return self._edited("edited", path, head + new, len(head), tail)

    async def _undo(self, path: str, arguments: dict[str, Any]) -> str:  # noqa: ARG002 - one signature for all
        if not self._history.get(path):
            await self._read(path)
            return self._say("nothing_to_undo", path=path)
        before, after = self._history[path].pop(), await self._read(path)
        await self._sandbox.write(path, before.encode())
        if not before:
            return self._say("undone_creation", path=path)
        same = len(posixpath.commonprefix([before, after]))
        return self._edited("undone", path, before[: same + 1], same, before[same + 1 :])

    # ── helpers ───────────────────────────────────────────────────────────────────────────────────

    def _say(self, template: str, **values: object) -> str:
        return self._profile.say(template, **values)

    def _missing(self, name: str, command: str) -> str:
        problem = f"{name} is missing, which {command} needs"
        return self._say("bad_arguments", name="str_replace_editor", problem=problem)

    async def _read(self, path: str) -> str:
        return (await self._sandbox.read(path)).decode("utf-8")

    async def _write(self, path: str, before: str, after: str) -> None:
        await self._sandbox.write(path, after.encode())
        self._history.setdefault(path, []).append(before)

    def _edited(self, template: str, path: str, head: str, start: int, tail: str) -> str:
        """Show the lines from `start` to the end of `head`, with some context on both sides."""
        lines = split_lines(self._clean(head + tail))
        first = max(1, head[:start].count("\n") + 1 - _CONTEXT)
        last = min(len(lines), head.count("\n") + 1 + _CONTEXT)
        return self._say(template, path=path, listing=number(lines[first - 1 : last], first))


def _occurrences(text: str, part: str) -> list[int]:
    """Start of every place where `part` stands, not overlapping."""
    starts, start = [], text.find(part)
    while start != -1:
        starts.append(start)
        start = text.find(part, start + len(part))
    return starts
