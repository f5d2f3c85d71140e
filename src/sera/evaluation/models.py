"""What `--model` may name, and whether it answers: looked at before any time is spent.

gold, empty              no model: each task's own patch, or none, through the same judge
http://host:8000/v1      a server; `--served-as` names the model there
rehearsal                the built-in teacher
anything else            weights of this machine: a name, a GGUF file, a folder such as a checkpoint
"""

import asyncio

from sera.errors import TeacherUnusable, UsageError
from sera.teachers import Endpoint, RemoteConfig
from sera.teachers.checkup.judge import entries
from sera.teachers.checkup.probe import Probe

SCRIPTED = ("gold", "empty")
_SECONDS = 10.0


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


async def check_served(config: RemoteConfig) -> None:
    """See that each server is there and, if it lists its models, has this one.

    Raises `TeacherUnusable` if nobody answers, and `UsageError` for a wrong name.
    """
    for endpoint in config.addresses:
        names = await _listed(endpoint)
        if names and config.model not in names:
            raise UsageError(
                f"{endpoint.base_url} serves no model {config.model!r}: choose --served-as from "
                f"{', '.join(names)}"
            )


def _only_model(base_url: str) -> str:
    """The name of the one model that a server lists."""
    names = asyncio.run(_listed(Endpoint(base_url=base_url)))
    if len(names) != 1:
        raise UsageError(
            f"--model {base_url} needs --served-as NAME; models listed there: {', '.join(names) or 'none'}"
        )
    return names[0]


async def _listed(endpoint: Endpoint) -> list[str]:
    """The models that a server lists; none if it keeps no list."""
    async with Probe(endpoint, _SECONDS) as probe:
        answer = await probe.get("/models")
    if not answer.status:
        raise TeacherUnusable(f"no model server at {probe.base_url}: {answer.text}. Is it running?")
    return [str(entry["id"]) for entry in entries(answer) if "id" in entry]
