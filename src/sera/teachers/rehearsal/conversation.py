"""Reading a conversation: what is asked now, and what has been done and seen so far.

The only thing the teacher knows is the request in front of it. What is asked is recognised by the
profile's own templates, their placeholders turned into groups, so a profile with other words works
without a change here.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec

from sera.harness import NEUTRAL_PROFILE, Profile, load_profile
from sera.records import Message, ToolCall
from sera.teachers.rehearsal.steps import BASH, EDITOR, SUBMIT
from sera.untrusted import decode

_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
_NEEDED: dict[str, tuple[str, ...]] = {BASH: ("command",), EDITOR: ("command", "path"), SUBMIT: ()}
_WORKDIR = "/testbed"


def template_pattern(template: str) -> re.Pattern[str]:
    """A pattern that finds a rendered `template`, each placeholder a group of its name."""
    pattern = ""
    for number, part in enumerate(_PLACEHOLDER.split(template)):
        if number % 2 == 0:
            pattern += re.escape(part)
        else:
            pattern += f"(?P={part})" if f"(?P<{part}>" in pattern else f"(?P<{part}>.*?)"
    return re.compile(pattern + (r"\Z" if template.endswith("}}") else ""), re.DOTALL)


class Wording:
    """The patterns of one profile: how its prompts and observations are recognised. Opened as well are
    rollouts in the words of the profile for any language."""

    def __init__(self, profile: Profile) -> None:
        self.tasks = [
            template_pattern(one.prompts["task"]) for one in (profile, load_profile(NEUTRAL_PROFILE))
        ]
        self.change = template_pattern(profile.prompts["change"])
        self.self_check = template_pattern(profile.prompts["self_check"])
        self.pull_request = template_pattern(profile.prompts["pull_request"])
        self.prefix = profile.observations["prefix"]
        self.categories = {concern: name for name, concern in profile.categories.items()}


class Turn(msgspec.Struct, frozen=True):
    """One usable tool call of the past, and what came of it."""

    tool: str
    arguments: dict[str, Any]
    observation: str


class Conversation(msgspec.Struct, frozen=True):
    """A request to the teacher, understood."""

    opening: str
    """The first user message, whole: it names the rollout."""
    request: str
    """What is to be done: the text inside the task prompt."""
    workdir: str
    turns: tuple[Turn, ...]
    """Usable calls only: a malformed reply and the notice it earned leave no trace here."""
    last: str
    """The newest message that is not the assistant's."""


def read_conversation(messages: Sequence[Message], wording: Wording) -> Conversation:
    """Understand a conversation; one that no profile wrote becomes a request in free words."""
    opening = next((message.content for message in messages if message.role == "user"), "")
    task = next(filter(None, (task.search(opening) for task in wording.tasks)), None)
    fields = task.groupdict() if task else {}
    return Conversation(
        opening=opening,
        request=fields.get("request", opening),
        workdir=fields.get("workdir", _WORKDIR),
        turns=tuple(_turns(messages, wording.prefix)),
        last=messages[-1].content if messages else "",
    )


def _turns(messages: Sequence[Message], prefix: str) -> list[Turn]:
    turns: list[Turn] = []
    for message, following in pairwise(messages):
        if message.role == "assistant" and following.role in ("tool", "user"):
            arguments = _usable(message.tool_calls)
            if arguments is not None:
                call = message.tool_calls[0]
                turns.append(Turn(call.name, arguments, following.content.removeprefix(prefix)))
    return turns


def _usable(calls: tuple[ToolCall, ...]) -> dict[str, Any] | None:
    """The arguments of the one well-formed call of a reply, or None."""
    if len(calls) != 1 or calls[0].name not in _NEEDED:
        return None
    try:
        arguments: dict[str, Any] = decode(calls[0].arguments, dict[str, Any])
    except msgspec.DecodeError:
        return None
    fits = all(isinstance(arguments.get(name), str) for name in _NEEDED[calls[0].name])
    return arguments if fits else None
