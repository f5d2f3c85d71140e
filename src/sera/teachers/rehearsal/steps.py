"""Steps of a script: one tool call with the thought before it.

A *script* is a generator that yields steps and is sent the observation each one earned. It runs
from the start for every request, fed with the observations of the conversation so far, so it needs
no memory of its own; what it yields next is the answer.
"""

import shlex
from collections.abc import Generator
from typing import Any, TypeVar

import msgspec

BASH, EDITOR, SUBMIT = "bash", "str_replace_editor", "submit"
"""Names of the tools, as every harness profile has them."""

R = TypeVar("R")


class Step(msgspec.Struct, frozen=True):
    """What to do next, and why."""

    tool: str
    arguments: dict[str, Any]
    reasoning: str = ""
    content: str = ""


Script = Generator[Step, str, R]
"""Yields steps, is sent observations, returns what was learnt."""


def bash(command: str, reasoning: str = "", content: str = "") -> Step:
    """Run a command."""
    return Step(BASH, {"command": command}, reasoning, content)


def view(path: str, first: int, last: int, reasoning: str = "", content: str = "") -> Step:
    """Show lines `first` to `last` of a file."""
    return Step(EDITOR, {"command": "view", "path": path, "view_range": [first, last]}, reasoning, content)


def view_directory(path: str, reasoning: str = "") -> Step:
    """Show what a directory holds."""
    return Step(EDITOR, {"command": "view", "path": path}, reasoning)


def create(path: str, text: str, reasoning: str = "", content: str = "") -> Step:
    """Make a file."""
    return Step(EDITOR, {"command": "create", "path": path, "file_text": text}, reasoning, content)


def replace(path: str, old: str, new: str, reasoning: str = "", content: str = "") -> Step:
    """Put `new` where `old` stands."""
    arguments = {"command": "str_replace", "path": path, "old_str": old, "new_str": new}
    return Step(EDITOR, arguments, reasoning, content)


def insert(path: str, line: int, text: str, reasoning: str = "", content: str = "") -> Step:
    """Put lines behind line `line`."""
    arguments = {"command": "insert", "path": path, "insert_line": line, "new_str": text}
    return Step(EDITOR, arguments, reasoning, content)


def undo(path: str, reasoning: str = "") -> Step:
    """Take back the last edit of a file."""
    return Step(EDITOR, {"command": "undo_edit", "path": path}, reasoning)


def submit(reasoning: str = "", content: str = "") -> Step:
    """Hand in."""
    return Step(SUBMIT, {}, reasoning, content)


def quote(*words: str) -> str:
    """Words as bash takes them."""
    return shlex.join(words)
