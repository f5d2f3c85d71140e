"""SWE-agent's `.traj`: one JSON document with `history`, `info` and, since 1.0, `replay_config`.

`history` is what the model was shown and said; the steps in `trajectory` repeat it. Calls are structured
where the agent used function calling, else they stand in the text, and stay there. A history with turns
of a demonstration is refused, since another wrote its answers. Reasoning in `<think>` is parted from the
text, as everywhere.
"""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from sera.datasets.exchange.ends import end_of
from sera.datasets.exchange.lines import one_document
from sera.datasets.exchange.trajectory import Document, Json, Reason, Refusal, Trajectory, as_message
from sera.formats.servers import Tools
from sera.records import Message
from sera.untrusted import decode


class _Info(msgspec.Struct, frozen=True):
    exit_status: str | None = None
    submission: str | None = None


class _Traj(msgspec.Struct, frozen=True):
    history: list[Json]
    info: _Info
    replay_config: str | Json | None = None


def read_swe_agent(file: Path, name: str, _tools: Tools) -> Iterator[Document]:
    yield from one_document(file, name, _Traj, partial(_trajectory, file.name.removesuffix(".traj")))


def _trajectory(instance: str, traj: Any) -> Trajectory:
    config = _config(traj.replay_config)
    repository = _dig(config, "env", "repo")
    lost: Counter[str] = Counter()
    return Trajectory(
        name=instance,
        messages=tuple(history_message(message, lost) for message in traj.history),
        end=end_of(traj.info.exit_status or ""),
        patch=traj.info.submission or "",
        model=str(_dig(config, "agent", "model").get("name") or ""),
        repository=str(repository.get("github_url") or repository.get("repo_name") or ""),
        commit=str(repository.get("base_commit") or ""),
        lost=lost,
    )


def looks_swe_agent(found: Any) -> bool:
    """Whether a document is of this format."""
    return isinstance(found, dict) and isinstance(found.get("history"), list) and "info" in found


def history_message(wire: Json, lost: Counter[str]) -> Message:
    """One entry of a history: a chat message with a list of call ids, and notes of the agent's."""
    shown = wire.get("message_type") == "demonstration" and wire.get("role") == "assistant"
    if shown or wire.get("is_demo"):
        raise Refusal(Reason.DEMONSTRATION, "the history holds turns of a demonstration")
    answered = wire.get("tool_call_ids")
    if wire.get("role") == "tool" and isinstance(answered, list) and len(answered) == 1:
        wire = {**wire, "tool_call_id": answered[0]}
    return as_message(wire, lost)


def _config(config: str | Json | None) -> Json:
    if isinstance(config, str):
        return decode(config, Json) if config else {}
    return config or {}


def _dig(tree: Json, *path: str) -> Json:
    """The object at a path; empty if there is none."""
    for key in path:
        inner = tree.get(key)
        tree = inner if isinstance(inner, dict) else {}
    return tree
