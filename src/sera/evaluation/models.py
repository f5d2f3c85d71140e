"""What `--model` may name, and whether it answers: looked at before any time is spent.

    gold, empty              no model: each task's own patch, or none, through the same judge
    http://host:8000/v1      a server; `--served-as` names the model there
    rehearsal                the built-in teacher
    anything else            weights of this machine: a name, a GGUF file, a folder such as a checkpoint
"""

import asyncio

import httpx2
import msgspec

from sera.errors import TeacherUnusable, UsageError
from sera.records import Record
from sera.teachers import RemoteConfig
from sera.teachers.remote.config import split_address
from sera.teachers.remote.dialects import dialect
from sera.teachers.remote.keys import read_key

SCRIPTED = ("gold", "empty")
_SECONDS = 10.0


class _Model(Record, frozen=True):
    id: str


class _Models(Record, frozen=True):
    data: list[_Model]


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
        names = await _listed(RemoteConfig(model=config.model, base_url=endpoint.base_url,
                                           dialect=endpoint.dialect, key_env=endpoint.key_env,
                                           key_file=endpoint.key_file))  # fmt: skip
        if names and config.model not in names:
            raise UsageError(
                f"{endpoint.base_url} serves no model {config.model!r}: choose --served-as from {', '.join(names)}"
            )


def _only_model(base_url: str) -> str:
    """The name of the one model that a server lists."""
    names = asyncio.run(_listed(RemoteConfig(model="", base_url=base_url)))
    if len(names) != 1:
        listed = ", ".join(names) or "none"
        raise UsageError(f"--model {base_url} needs --served-as NAME; the models listed there: {listed}")
    return names[0]


async def _listed(config: RemoteConfig) -> list[str]:
    """The models that a server lists; none if it keeps no list."""
    endpoint = config.addresses[0]
    address, query = split_address(endpoint.base_url)
    headers = dialect(endpoint.dialect).headers(read_key(endpoint), query)
    url = f"{address}/models" + (f"?{query}" if query else "")
    async with httpx2.AsyncClient(headers=headers, timeout=_SECONDS, trust_env=False) as client:
        try:
            answer = await client.get(url)
        except httpx2.HTTPError as problem:
            said = str(problem) or type(problem).__name__
            raise TeacherUnusable(f"no model server at {endpoint.base_url}: {said}. Is it running?") from None
    try:
        return [model.id for model in msgspec.json.decode(answer.content, type=_Models).data]
    except msgspec.DecodeError:
        return []
