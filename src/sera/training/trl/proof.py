"""What is shown of the trainer itself before its first step: it gets our rows, and packed rows do not see
each other."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from sera.errors import TrainError
from sera.training.contract import Job
from sera.training.rows import digest, proven

_LOOKED_AT = 512
"""Rows of the dataset that are compared."""
_PROBE = (5, 9)
"""Tokens of two rows that are packed to see whether one reaches into the other."""
_CLOSE = 1e-3


def refuse_other_rows(trainer: Any, job: Job) -> None:
    """Raises `TrainError` unless the loader yields the first rows of the dataset, ids and labels, as
    proven."""
    import torch

    state = torch.get_rng_state()
    wanted = set(proven(job, held_out=False, most=_LOOKED_AT))
    missing = set(wanted)
    for batch in trainer.get_train_dataloader():
        missing.difference_update(digest(ids, labels) for ids, labels in _rows(batch))
        if not missing:
            break
    torch.set_rng_state(state)
    if missing:
        raise TrainError(
            f"{len(missing)} of {len(wanted)} rows do not reach the trainer as proven: its tokens or "
            f"labels differ. Remove the folder tokens and begin again; if it stays, this version of "
            f"trl changes rows"
        )


def _rows(batch: dict[str, Any]) -> Iterator[tuple[list[int], list[int]]]:
    """The rows of a batch without padding; the first label of each is nobody's."""
    if "attention_mask" in batch:
        lengths = batch["attention_mask"].sum(1).tolist()
        pieces = [(n, 0, size) for n, size in enumerate(lengths)]
    else:
        edges = batch["cu_seq_lens_q"].tolist()
        pieces = [(0, a, b) for a, b in zip(edges, islice(edges, 1, None), strict=False)]
    for n, a, b in pieces:
        yield batch["input_ids"][n][a:b].tolist(), [-100, *batch["labels"][n][a + 1 : b].tolist()]


def refuse_leaks(model: Any) -> None:
    """Raises `TrainError` if, of two packed rows, the second one sees the first.

    It is looked at, not believed: what the second row gives alone must be what it gives behind another.
    """
    import torch

    first, second = _PROBE
    ids = torch.arange(1, first + second + 1, device=model.device)[None] % model.config.vocab_size
    places = torch.cat([torch.arange(first), torch.arange(second)])[None].to(model.device)
    edges = torch.tensor([0, first, first + second], dtype=torch.int32, device=model.device)
    spans = {"cu_seq_lens_q": edges, "cu_seq_lens_k": edges, "max_length_q": second, "max_length_k": second}
    with (
        torch.no_grad(),
        torch.autocast(model.device.type, torch.bfloat16, enabled=model.device.type == "cuda"),
    ):
        alone = model(input_ids=ids[:, first:]).logits
        behind = model(input_ids=ids, position_ids=places, use_cache=False, **spans).logits[:, first:]
    apart = (alone - behind).abs().max() / alone.abs().max()
    if not apart < (_CLOSE if model.device.type == "cpu" else 5e-2):
        raise TrainError(
            f"packed rows would see each other with the attention "
            f"{model.config._attn_implementation!r} of this "
            f"machine: set packing=false, or install flash-attn"
        )
