"""A large run from a small one, for sizing and testing what comes after: no teacher, no sandbox.

Each task of the new run is a copy of one that really ran, with everything that was recorded of it. In a
copy the function has a name of its own, wherever it is said, so that patches, texts and ids differ from
copy to copy; and some conversations are longer, since their steps of looking around are repeated. States,
agreement and categories are those of the original, so their shares are too.

    share of rollouts   steps added
         80 %             0…2
         17 %             3…10
          3 %            70…110        about half of these are longer than a context of 32,768 tokens

Everything follows from the original, the number and the seed. The new run is an ordinary run directory, and
one that was interrupted goes on. It teaches nobody anything.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from sera.errors import RunError
from sera.generation.recall import compare
from sera.records import (
    Message,
    Pair,
    PullRequest,
    Record,
    Rollout,
    Stage,
    State,
    Task,
    Verdict,
    content_id,
)
from sera.runs import Manifest, Run, open_run

_TEMPLATES = 200
"""Tasks of the original that are copied, at most: they are held in memory."""
_LENGTHS = ((0.80, 0, 2), (0.97, 3, 10), (1.0, 70, 110))
"""Up to which share of rollouts how many steps are added."""
_UNFINISHED = (State.FAILED, State.REQUEUED, State.DROPPED)
_LOOKING = 3
"""Steps at the beginning that only look around, and so can be repeated."""


class _Template(Record, frozen=True):
    """All that was recorded of one task."""

    task: Task
    pair: Pair
    rollouts: tuple[Rollout, ...]
    verdicts: Mapping[str, Verdict]
    """By id of the rollout."""
    requests: Mapping[str, PullRequest]


def multiply_run(original: Run, out: Path, pairs: int, seed: int = 0) -> Run:
    """Write a run of `pairs` tasks into the directory `out`, or go on with it.

    Raises `RunError` if the original has no task that ended, or `out` holds something else, and
    `ConfigError` if `out` was multiplied from another run or with another seed.
    """
    templates = list(_templates(original))
    if not templates:
        raise RunError(f"no task of {original.path} has ended, so there is nothing to multiply")
    chosen = [templates[number % len(templates)] for number in range(pairs)]
    tasks = [_copied_task(template, number, seed) for number, template in enumerate(chosen)]
    identity = {"multiplied": original.manifest.identity, "seed": seed}
    manifest = Manifest(
        version=original.manifest.version,
        config=original.manifest.config,
        identity=identity,
        source=original.manifest.source,
    )
    with open_run(out, manifest, original.profile, tasks) as run:
        for task in run.owed():
            _copy(chosen[task.index], task, run)
    return run


def _templates(run: Run) -> Iterator[_Template]:
    for task, pair in run.task_pairs()[:_TEMPLATES]:
        if pair and pair.state not in _UNFINISHED:
            ids = [run.rollout_id(task, Stage.T1, attempt) for attempt in range(len(task.categories))]
            found = [run.rollouts.get(id_) for id_ in (*ids, run.rollout_id(task, Stage.T2, 0))]
            rollouts = tuple(rollout for rollout in found if rollout)
            yield _Template(
                task=task,
                pair=pair,
                rollouts=rollouts,
                verdicts={r.id: verdict for r in rollouts if (verdict := run.verdicts.get(r.id))},
                requests={r.id: request for r in rollouts if (request := run.pull_requests.get(r.id))},
            )


def _copied_task(template: _Template, number: int, seed: int) -> Task:
    task = template.task
    identity = content_id("multiplied", task.id, number, seed)
    name = _last_name(task) + _suffix(identity)
    function = msgspec.structs.replace(
        task.function,
        id=content_id(task.function.id, identity),
        name=".".join([*task.function.name.split(".")[:-1], name]),
    )
    return msgspec.structs.replace(task, id=identity, index=number, function=function)


def _copy(template: _Template, task: Task, run: Run) -> None:
    """Record the copy of a task, its end last."""
    rename = _Renaming(_last_name(template.task), _suffix(task.id))
    ids, patches = {"": ""}, {"": ""}
    for rollout in template.rollouts:
        copy = _copied_rollout(rollout, task, run, rename)
        ids[rollout.id], patches[rollout.id] = copy.id, copy.patch
        run.rollouts.append(copy)
        if verdict := template.verdicts.get(rollout.id):
            run.verdicts.append(msgspec.structs.replace(verdict, rollout=copy.id, asked=""))
        if request := template.requests.get(rollout.id):
            text = rename.text(request.text)
            run.pull_requests.append(msgspec.structs.replace(request, rollout=copy.id, text=text, asked=""))
    pair = template.pair
    run.end(
        msgspec.structs.replace(
            pair,
            task=task.id,
            index=task.index,
            t1=ids[pair.t1],
            t2=ids[pair.t2],
            agreement=pair.agreement and compare(patches[pair.t1], patches[pair.t2]),
        )
    )


def _copied_rollout(rollout: Rollout, task: Task, run: Run, rename: "_Renaming") -> Rollout:
    identity = run.rollout_id(task, rollout.stage, rollout.attempt)
    messages = _lengthened(rollout.messages, _steps_added(identity))
    return msgspec.structs.replace(
        rollout,
        id=identity,
        task=task.id,
        messages=tuple(map(rename.message, messages)),
        patch=rename.text(rollout.patch),
        asked="",
    )


def _steps_added(identity: str) -> int:
    """How many steps a rollout with this id gets, by its hash."""
    draw = int(content_id("length", identity), 16) / 16**16
    low, least, most = 0.0, 0, 0
    for high, least, most in _LENGTHS:
        if draw < high:
            return least + int((draw - low) / (high - low) * (most - least + 1))
        low = high
    return most


def _lengthened(messages: Sequence[Message], steps: int) -> list[Message]:
    """The conversation with that many steps more, repeated from its beginning, each with ids of its own."""
    starts = [n for n, message in enumerate(messages) if message.role == "assistant"]
    looking = [slice(*pair) for pair in itertools.pairwise(starts[: _LOOKING + 1])]
    if not looking:
        return list(messages)
    added = [_numbered(message, n) for n in range(steps) for message in messages[looking[n % len(looking)]]]
    end = looking[-1].stop
    return [*messages[:end], *added, *messages[end:]]


def _numbered(message: Message, number: int) -> Message:
    calls = tuple(msgspec.structs.replace(call, id=f"{call.id}_{number}") for call in message.tool_calls)
    answers = message.tool_call_id and f"{message.tool_call_id}_{number}"
    return msgspec.structs.replace(message, tool_calls=calls, tool_call_id=answers)


class _Renaming:
    """Puts a suffix behind a name, wherever it is said, also as a part of longer words."""

    def __init__(self, name: str, suffix: str) -> None:
        self._name = name
        self._suffix = suffix

    def text(self, text: str) -> str:
        return text.replace(self._name, self._name + self._suffix)

    def message(self, message: Message) -> Message:
        changes: dict[str, Any] = {
            "content": self.text(message.content),
            "reasoning": self.text(message.reasoning),
            "tool_calls": tuple(
                msgspec.structs.replace(call, arguments=self.text(call.arguments))
                for call in message.tool_calls
            ),
        }
        return msgspec.structs.replace(message, **changes)


def _last_name(task: Task) -> str:
    return task.function.name.rpartition(".")[2]


def _suffix(identity: str) -> str:
    return f"_{identity[:8]}"
