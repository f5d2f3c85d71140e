"""What `--model` may name, and whether it answers: looked at before any time is spent.

gold, empty              no model: each task's own patch, or none, through the same judge
http://host:8000/v1      a server; `--served-as` names the model there
rehearsal                the built-in teacher
anything else            weights of this machine: a name, a GGUF file, a folder such as a checkpoint
"""

import asyncio
from collections.abc import Iterable
from itertools import islice

from sera.errors import TeacherUnusable, UsageError
from sera.redaction.addresses import shown
from sera.teachers import Endpoint, RemoteConfig
from sera.teachers.checkup.judge import entries
from sera.teachers.checkup.probe import Probe

SCRIPTED = ("gold", "empty")
_SECONDS = 10.0
_NAMED = 10
"""Models that a message names."""


def model_settings(model: str, served_as: str | None) -> dict[str, object]:
    """The settings that `--model` and `--served-as` stand for. Raises `UsageError` if the two do not fit."""
    if "://" in model:
        name = served_as or _only_model(model)
        return {"teacher.kind": "chat", "teacher.base_url": model, "teacher.model": name}
    if served_as:
        raise UsageError(f"--served-as names a model at a URL, and --model is {model!r}")
    if model in SCRIPTED:
        return {"predictions": model}
    if model == "rehearsal":
        return {"teacher.kind": "rehearsal"}
    return {"teacher.kind": "local", "teacher.model": model}


async def check_served(config: RemoteConfig, context: int) -> None:
    """See that each server is there and, if it lists its models, has this one, with room for an answer at the
    end of a conversation of `context` tokens.

    Raises `TeacherUnusable` if nobody answers, and `UsageError` for a wrong name or too small a server.
    """
    for endpoint in config.addresses:
        listed = await _listed(endpoint)
        if listed and config.model not in listed:
            raise UsageError(
                f"{shown(endpoint.base_url)} serves no model {config.model!r}: choose --served-as from "
                f"{_some(listed)}"
            )
        room = listed.get(config.model)
        if room and room < context + config.max_tokens:
            raise UsageError(_too_small(endpoint.base_url, room, context, config.max_tokens))


def _too_small(base_url: str, room: int, context: int, answer: int) -> str:
    smaller = f", or ask for less: --set teacher.max_tokens={room - context}" if room > context else ""
    fits = f", or evaluate in less: --context {room - answer}" if room - answer > 0 else ""
    return (
        f"{shown(base_url)} takes {room:,} tokens (max_model_len), an answer of teacher.max_tokens={answer} "
        f"included: a conversation of {context:,} tokens would end too early. Serve the model with "
        f"--max-model-len {context + answer}{smaller}{fits}"
    )


def _only_model(base_url: str) -> str:
    """The name of the one model that a server lists."""
    names = list(asyncio.run(_listed(Endpoint(base_url=base_url))))
    if len(names) != 1:
        raise UsageError(
            f"--model {shown(base_url)} needs --served-as NAME; models listed there: {_some(names) or 'none'}"
        )
    return names[0]


def _some(names: Iterable[str]) -> str:
    """The first of them: a server may list any number."""
    first = list(islice(names, _NAMED + 1))
    return ", ".join(first[:_NAMED]) + (" …" if len(first) > _NAMED else "")


async def _listed(endpoint: Endpoint) -> dict[str, int | None]:
    """The models that a server lists, with the tokens that each takes if it says so; none if it keeps no
    list."""
    async with Probe(endpoint, _SECONDS) as probe:
        answer = await probe.get("/models")
    if answer.late:
        raise TeacherUnusable(
            f"the server at {shown(probe.base_url)} has not listed its models within {_SECONDS:g} s: it is "
            "slow, or still loading; try again when it is ready"
        )
    if not answer.status:
        raise TeacherUnusable(f"no model server at {shown(probe.base_url)}: {answer.text}. Is it running?")
    rooms = {str(entry["id"]): entry.get("max_model_len") for entry in entries(answer) if "id" in entry}
    return {name: room if isinstance(room, int) else None for name, room in rooms.items()}
