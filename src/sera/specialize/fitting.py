"""The lengths of all stages made to fit the student and each other, and what cannot go together refused.

    the student's context ─► longest row of the training ─► of the dataset ─► least share of a conversation
                          └► the evaluation's conversations

What a table says itself stays as it is, and is refused before the first stage if a later one would refuse it.
"""

from pathlib import Path

import msgspec

from sera.datasets import DatasetConfig
from sera.errors import UsageError
from sera.models.weights import known_weights
from sera.specialize.config import Settled, SpecializeConfig, settle, shared
from sera.training.student import open_student


def fitted(config: SpecializeConfig) -> SpecializeConfig:
    """The settings with lengths that fit, in the tables that leave them out.

    Raises `UsageError` for lengths that cannot go together, and `ModelError` for a student that
    cannot be read.
    """
    config = shared(config)
    settled, reads = settle(config), context_of(config.student)
    rows, sequence = _lengths(config, settled, reads)
    dataset: dict[str, object] = {}
    if rows != settled.dataset.max_tokens:
        dataset["max_tokens"] = rows
    if rows < DatasetConfig().max_tokens and "min_ratio" not in config.dataset:
        dataset["min_ratio"] = 0.0  # the paper's share is of rows as long as whole conversations
    train: dict[str, object] = {"sequence": sequence} if sequence != settled.train.sequence else {}
    context = min(settled.evaluate.context, reads or settled.evaluate.context)
    evaluate: dict[str, object] = {"context": context} if context != settled.evaluate.context else {}
    return msgspec.structs.replace(
        config,
        dataset={**dataset, **config.dataset},
        train={**train, **config.train},
        evaluate={**evaluate, **config.evaluate},
    )


def context_of(student: str) -> int | None:
    """Tokens that a student reads; None of one that is not here."""
    if known := known_weights().get(student):
        return known.context
    return open_student(student).shape.context if Path(student).exists() else None


def _lengths(config: SpecializeConfig, settled: Settled, reads: int | None) -> tuple[int, int]:
    """The longest row of the dataset, and of the training."""
    told = {
        "dataset.max_tokens": config.dataset.get("max_tokens"),
        "train.sequence": config.train.get("sequence"),
    }
    for key, length in told.items():
        if reads and length and length > reads:
            raise UsageError(
                f"{key} is {length:,}, and {config.student} reads {reads:,} tokens: set it to {reads} at "
                "most, or leave it out"
            )
    rows, sequence = told.values()
    fits = sequence or max(min(settled.train.sequence, reads or settled.train.sequence), rows or 0)
    if rows and rows > fits:
        raise UsageError(
            f"dataset.max_tokens is {rows:,} and train.sequence {fits:,}, and the training refuses rows that "
            "are longer: set one of them alone, the other follows"
        )
    return rows or min(settled.dataset.max_tokens, fits), fits
