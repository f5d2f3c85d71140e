"""From trained weights to a checkpoint that is served as it was trained.

    model.safetensors, config.json, generation_config.json     merged, names repaired, in 16 bits
    adapter/                                                   the adapter alone, if one was trained
    tokenizer.json and what is beside it                       the student's own files
    chat_template.jinja                                        the template it was trained with
    chat_template.original.jinja                               its own, if that is another
    sera.json                                                  format, thinking, harness, template, context
    harness.json, dataset.json                                 profile of the harness, manifest of the dataset
    README.md                                                  the card

Before it takes its place, rows of the dataset are laid out by the checkpoint's own files, as a server does,
and compared with what was trained.
"""

import shutil
from pathlib import Path
from typing import Any

import msgspec

from sera.datasets.manifest import MANIFEST, sha256
from sera.errors import TrainError, boundary
from sera.records import Record
from sera.settings import to_tree
from sera.training.card import card
from sera.training.contract import Job, Plan
from sera.training.folder import CHECKPOINT, read_metrics
from sera.training.names import refuse_missing
from sera.training.parity import refuse_unlike_serving
from sera.training.tokenizer_files import pretty, write_tokenizer
from sera.training.weights import Written, expected_names, write_weights
from sera.untrusted import decode

KIND = "sera-checkpoint"
RECORD = "sera.json"


class Finished(Record, frozen=True, kw_only=True):
    """What a checkpoint says of itself; `sera.json`."""

    kind: str = KIND
    schema: int = 1
    student: str
    trainer: str
    format: str
    """How tool calls are written: serve with the parser of that format."""
    think: str
    """What became of reasoning in the dataset."""
    harness: str
    """Hash of the harness profile in `harness.json`."""
    template: str
    """SHA-256 of `chat_template.jinja`."""
    tokenizer: str
    """SHA-256 of `tokenizer.json`."""
    context: int
    """Longest row it was trained with, in tokens, that its settings allowed."""
    end: str
    """The token that ends a turn."""
    dataset: str
    """SHA-256 of the manifest in `dataset.json`."""
    settings: dict[str, Any]
    plan: Plan
    steps: int
    loss_first: float | None
    loss_last: float | None
    held_out_before: float | None
    held_out_after: float | None
    repaired: int
    """Weights whose names a trainer had wrapped."""
    rounding: float | None = None
    """Of an adapter, which is merged in 32 bits: what rounding to 16 bits changes, over what it changes."""


def finished_before(folder: Path) -> Finished | None:
    """What an earlier call has finished."""
    if not (folder / RECORD).is_file():
        return None
    return read_finished(folder)


def read_finished(folder: Path) -> Finished:
    """What a checkpoint says of itself; `TrainError` if it is none of ours."""
    with boundary(TrainError, f"{folder} is no checkpoint of sera's", OSError, msgspec.DecodeError):
        finished: Finished = decode((folder / RECORD).read_bytes(), Finished)
    return finished


def finish(job: Job, plan: Plan, weights: Path, out: Path) -> Finished:
    """Make `out/checkpoint` from the folder of a trainer. Raises `TrainError` if anything is not as it
    should be."""
    new = out / f".{CHECKPOINT}.new"
    with boundary(TrainError, f"the checkpoint cannot be written to {out}"):
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        written = write_weights(job, weights, new)
        refuse_missing(new, *expected_names(new))
        write_tokenizer(job, new)
        _set_ends(new, job)
        record = _record(job, plan, out, written)
        _write_records(job, record, new)
        refuse_unlike_serving(job, new)
        new.rename(out / CHECKPOINT)
    return record


def _set_ends(folder: Path, job: Job) -> None:
    """Server and student stop at the same token."""
    ends = {
        "eos_token_id": job.reading.end_id,
        "pad_token_id": job.reading.tokenizer.token_to_id(job.reading.pad or ""),
    }
    for name in ("config.json", "generation_config.json"):
        file = folder / name
        config: dict[str, Any] = msgspec.json.decode(file.read_bytes()) if file.is_file() else {}
        file.write_bytes(pretty({**config, **ends, "use_cache": True}))


def _record(job: Job, plan: Plan, out: Path, written: Written) -> Finished:
    settings = job.dataset.manifest.settings
    steps = read_metrics(out)
    losses = [step.loss for step in steps if step.loss is not None]
    held_out = [step.held_out_loss for step in steps if step.held_out_loss is not None]
    return Finished(
        student=job.student.name,
        trainer=plan.trainer,
        format=str(settings["format"]),
        think=str(settings.get("think", "keep")),
        harness=job.profile.hash,
        template=job.reading.template.sha256,
        tokenizer=job.reading.tokenizer_sha256,
        context=min(job.config.sequence, job.student.shape.context),
        end=job.reading.end,
        dataset=sha256(job.dataset.path / MANIFEST),
        settings=to_tree(job.config),
        plan=plan,
        steps=max((step.step for step in steps if step.loss is not None), default=plan.steps),
        loss_first=losses[0] if losses else None,
        loss_last=losses[-1] if losses else None,
        held_out_before=held_out[0] if held_out else None,
        held_out_after=held_out[-1] if held_out else None,
        repaired=written.repaired,
        rounding=written.rounding,
    )


def _write_records(job: Job, record: Finished, folder: Path) -> None:
    shutil.copyfile(job.dataset.path / MANIFEST, folder / "dataset.json")
    (folder / "harness.json").write_bytes(pretty(job.profile))
    (folder / RECORD).write_bytes(pretty(record))
    done = msgspec.structs.replace(record.plan, steps=record.steps)
    (folder / "README.md").write_text(
        card(job, done, (record.held_out_before, record.held_out_after), record.rounding), "utf-8"
    )
