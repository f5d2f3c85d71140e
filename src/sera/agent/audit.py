"""The audit: what a rollout did that its data should not teach, found in its record.

A pure function of the messages, the patch and the project's names, so that it can be repeated by anybody
who reads the run. It reads commands as text (see `shell`); `docs/text-security.md` says what it cannot
see. Replies with several calls were not run and do not count. Cheating that was answered by nothing but
a failure is an attempt.
"""

import re
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from sera.agent.calls import parse_arguments
from sera.agent.patched_tests import patch_findings
from sera.agent.shell import Command, commands
from sera.records import Finding, Message, Severity, ToolCall

_EVIDENCE = 160
"""Characters of evidence kept."""
_SHOWS_FILES = {
    "cat",
    "grep",
    "egrep",
    "rg",
    "sed",
    "awk",
    "head",
    "tail",
    "less",
    "nl",
    "find",
    "ls",
    "git",
    "cd",
}
_FAILED = re.compile(
    r"No such file|cannot access|not found|[Nn]ot a directory|Permission denied|There is no file|fatal:"
)


class Pattern(msgspec.Struct, frozen=True):
    """One entry of `audit.toml`."""

    kind: str
    severity: Severity
    where: str
    """`command`, `word`, `code` or `answer`."""
    regex: str
    example: str
    harmless: str
    unless: str = ""


class _Call(msgspec.Struct, frozen=True):
    """A call that was run, as the patterns see it."""

    texts: dict[str, tuple[str, ...]]
    """The texts to look at, by `where`."""
    answer: str


def audit(messages: Sequence[Message], patch: str, project: tuple[str, ...] = ()) -> tuple[Finding, ...]:
    """What was found, one of each kind and severity, in the order of first occurrence."""
    found: dict[tuple[str, Severity], Finding] = {}
    for finding in (*_in_calls(messages, project), *patch_findings(patch)):
        key = finding.kind, finding.severity
        first = found.get(key, msgspec.structs.replace(finding, times=0))
        found[key] = msgspec.structs.replace(first, times=first.times + 1)
    return tuple(found.values())


@cache
def patterns() -> tuple[Pattern, ...]:
    """The table."""
    table = tomllib.loads((files("sera.agent") / "audit.toml").read_text("utf-8"))
    return tuple(msgspec.convert(entry, Pattern) for entry in table["pattern"])


@cache
def kinds() -> frozenset[str]:
    """Every kind that a finding may be of."""
    return frozenset(
        {*(pattern.kind for pattern in patterns()), "tests-deleted", "tests-disabled", "tests-only"}
    )


def _in_calls(messages: Sequence[Message], project: tuple[str, ...]) -> Iterator[Finding]:
    table = _compiled(project)
    answers = {message.tool_call_id: message.content for message in messages if message.role == "tool"}
    for n, message in enumerate(messages):
        if len(message.tool_calls) == 1 and message.tool_calls[0].id in answers:
            call = _read(message.tool_calls[0], answers[message.tool_calls[0].id])
            for pattern, regex, unless in table:
                for text in call.texts.get(pattern.where, ()):
                    if (match := regex.search(text)) and not (unless and unless.search(text)):
                        yield _finding(pattern, n, text[match.start() :], call.answer)


@cache
def _compiled(
    project: tuple[str, ...],
) -> tuple[tuple[Pattern, re.Pattern[str], re.Pattern[str] | None], ...]:
    names = "|".join(re.escape(name).replace("_", "[-_.]") for name in project)
    return tuple(
        (
            pattern,
            re.compile(pattern.regex.replace("{project}", names)),
            re.compile(pattern.unless) if pattern.unless else None,
        )
        for pattern in patterns()
        if project or "{project}" not in pattern.regex
    )


def _read(call: ToolCall, answer: str) -> _Call:
    arguments: dict[str, Any] = parse_arguments(call.arguments)[0] or {}
    if call.name == "bash" and isinstance(arguments.get("command"), str):
        run = tuple(commands(arguments["command"]))
        return _Call(_texts(run, answer), answer)
    return _Call({"word": (str(arguments.get("path", "")),)}, answer)


def _texts(run: tuple[Command, ...], answer: str) -> dict[str, tuple[str, ...]]:
    only_shows = all(command.words[0] in _SHOWS_FILES for command in run)
    return {
        "command": tuple(command.text for command in run),
        "word": tuple(word for command in run for word in command.words[1:]),
        "code": tuple(command.code for command in run if command.code),
        "answer": () if only_shows else (answer,),
    }


def _finding(pattern: Pattern, message: int, evidence: str, answer: str) -> Finding:
    severity = pattern.severity
    if severity is Severity.CHEATING and _FAILED.search(answer) and answer.count("\n") <= 2:
        severity = Severity.ATTEMPT
    return Finding(kind=pattern.kind, severity=severity, message=message, evidence=evidence[:_EVIDENCE])
