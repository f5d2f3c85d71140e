"""mini-swe-agent's `.traj.json`: one JSON document with `messages` and `info`, in the layouts of 1 and 2.

In both, an agent of texts speaks in text with a fenced command, and is answered in user messages; both
stay as they are. Version 2 can use function calling too: its calls are structured. What is no message of
the conversation is dropped: version 2 closes with one of the role `exit`, version 1 with the handed-in
patch as a user message. Conversations in the form of the Responses API are refused.
"""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from sera.datasets.exchange.ends import end_of
from sera.datasets.exchange.lines import one_document
from sera.datasets.exchange.thoughts import plain_text
from sera.datasets.exchange.trajectory import (
    Document,
    Json,
    Reason,
    Refusal,
    Trajectory,
    as_message,
)
from sera.formats.servers import Tools
from sera.records import End


class _Model(msgspec.Struct, frozen=True):
    model_name: str | None = None


class _Config(msgspec.Struct, frozen=True):
    model: _Model | None = None


class _Info(msgspec.Struct, frozen=True):
    exit_status: str | None = None
    submission: str | None = None
    config: _Config | None = None


class _Traj(msgspec.Struct, frozen=True):
    messages: list[Json]
    info: _Info
    trajectory_format: str = ""
    instance_id: str | None = None


def read_mini(file: Path, name: str, _tools: Tools) -> Iterator[Document]:
    yield from one_document(file, name, _Traj, partial(_trajectory, file.name.removesuffix(".traj.json")))


def _trajectory(file_name: str, traj: Any) -> Trajectory:
    if not traj.trajectory_format.startswith("mini-swe-agent-1"):
        raise msgspec.ValidationError(f"the trajectory format {traj.trajectory_format!r} is not known")
    end = end_of(traj.info.exit_status or "")
    patch = traj.info.submission or ""
    spoken = [_chat(message) for message in traj.messages if message.get("role") != "exit"]
    last = spoken[-1] if spoken else {}
    if end is End.SUBMITTED and last.get("role") == "user" and plain_text(last.get("content")) == patch:
        spoken.pop()
    model = traj.info.config.model if traj.info.config else None
    lost: Counter[str] = Counter()
    return Trajectory(
        name=traj.instance_id or file_name,
        messages=tuple(as_message(message, lost) for message in spoken),
        end=end,
        patch=patch,
        model=(model.model_name if model else None) or "",
        lost=lost,
    )


def looks_mini(found: Any) -> bool:
    """Whether a document is of this format."""
    return isinstance(found, dict) and str(found.get("trajectory_format")).startswith("mini-swe-agent")


def _chat(message: Json) -> Json:
    if "type" in message or message.get("object") == "response":
        raise Refusal(Reason.WRONG_SHAPE, "it was recorded in the form of the Responses API")
    return message
