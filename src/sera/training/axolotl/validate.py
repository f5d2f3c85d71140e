"""Whether Axolotl takes our configuration as it is meant, and reads our rows as they are proven.

It is asked itself, in its own environment: its schema, the list of its keys, since it passes unknown ones
in silence, and `axolotl preprocess` on the first rows, whose ids and labels are compared with ours token by
token. For the last one, what needs a GPU is left out: it has no say in how rows are read.
"""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from sera.errors import TrainError
from sera.leases import leased_folder
from sera.records import Record
from sera.training.axolotl.asking import ask, find_axolotl, refuse_without_fork, run
from sera.training.axolotl.folder import write_config, write_folder, write_rows
from sera.training.axolotl.settings import CONFIG, PREPARED, ROWS, axolotl_settings
from sera.training.contract import Job, Plan
from sera.training.rows import digest, encode, parted
from sera.training.stage import Request, plan_training

_ROWS = 32
_OF_A_GPU = ("deepspeed", "plugins", "liger_fused_linear_cross_entropy", "cut_cross_entropy", "load_in_4bit")
_ON_A_CPU = {"bf16": False, "tf32": False, "attn_implementation": "sdpa", "activation_offloading": False,
             "optimizer": "adamw_torch"}  # fmt: skip


class Validated(Record, frozen=True):
    """What was shown."""

    version: str
    """Of Axolotl."""
    keys: int
    """Of the configuration, all known to it."""
    rows: int
    """That it reads as they are proven."""
    tokens: int
    trained: int
    """Of these, in the loss."""


def validate_with(request: Request, python: Path) -> Validated:
    """Raises `TrainError` with what Axolotl does not know, refuses, reads otherwise, or lacks."""
    find_axolotl(python)
    job, plan = plan_training(request)
    with leased_folder("axolotl") as folder:
        write_folder(job, plan, folder)
        told = json.loads(ask(python, folder, "check", CONFIG)[-1])
        _refuse(told)
        rows = _compare(job, list(_prepared(job, plan, python, folder)))
        if "cut_cross_entropy" in axolotl_settings(job, plan):
            refuse_without_fork(python, folder)
    return Validated(told["version"], told["keys"], *rows)


def _refuse(told: dict[str, object]) -> None:
    if told["unknown"]:
        raise TrainError(f"Axolotl {told['version']} does not know {told['unknown']} and would pass over it")
    if told["problem"]:
        raise TrainError(f"Axolotl {told['version']} refuses the configuration: {told['problem']}")


def _prepared(job: Job, plan: Plan, python: Path, folder: Path) -> Iterator[tuple[list[int], list[int]]]:
    """Ids and labels of the first rows, as Axolotl writes them."""
    write_rows(folder / ROWS, _first(job))
    settings = axolotl_settings(job, plan)
    small = {key: value for key, value in settings.items() if key not in (*_OF_A_GPU, "test_datasets")}
    small |= _ON_A_CPU | {"sample_packing": False}
    if "adapter" in small:
        small["adapter"] = "lora"
    for key in ("eval_strategy", "eval_steps"):
        small.pop(key, None)
    write_config(folder / "small.yaml", small)
    run([str(find_axolotl(python)), "preprocess", "small.yaml"], folder)
    for line in ask(python, folder, "tokens", PREPARED):
        ids, labels = json.loads(line)
        yield ids, labels


def _compare(job: Job, got: list[tuple[list[int], list[int]]]) -> tuple[int, int, int]:
    """(rows, tokens, tokens in the loss) of what is alike. Raises `TrainError` at the first difference."""
    read = {digest(ids, labels) for ids, labels in got}
    wanted = list(encode(_first(job), job.reading))
    for number, row in enumerate(wanted):
        if digest(row.ids, row.labels) not in read:
            other = next((pair for pair in got if pair[0] == row.ids), None)
            raise TrainError(f"row {number}: {_difference(job, row.labels, other)}")
    return len(wanted), sum(len(row.ids) for row in wanted), sum(n >= 0 for row in wanted for n in row.labels)


def _difference(job: Job, labels: list[int], other: tuple[list[int], list[int]] | None) -> str:
    if other is None:
        return "Axolotl reads other tokens than are proven"
    pairs = enumerate(zip(labels, other[1], strict=True))
    place = next(n for n, (ours, theirs) in pairs if ours != theirs)
    around = job.reading.decode(other[0][max(place - 8, 0) : place + 8])
    return f"at token {place} Axolotl's loss covers other tokens than are proven, near {around!r}"


def _first(job: Job) -> Iterator[dict[str, object]]:
    return islice(parted(job, held_out=False), _ROWS)
