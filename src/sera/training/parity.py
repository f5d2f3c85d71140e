"""Whether a checkpoint, laid out by its own files as a server does it, shows what was trained.

Two ways: the dataset's proofs with the checkpoint in the student's place, and transformers' own tokenizer
and template, which vLLM and SGLang use: all of a row, and what the student is shown before each of its
turns.
"""

from itertools import islice
from pathlib import Path
from typing import Any

from sera.datasets.rendering import load_student, render_row
from sera.datasets.rendering.render import template_messages, template_tools
from sera.errors import TrainError, boundary
from sera.training.contract import Job

_ROWS = 16


def refuse_unlike_serving(job: Job, folder: Path) -> None:
    """Raises `TrainError` at the first row that a server would show otherwise."""
    student = load_student(str(folder))
    with boundary(TrainError, f"the tokenizer in {folder} cannot be loaded", Exception):
        from transformers import AutoTokenizer

        serving = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if student.template.sha256 != job.reading.template.sha256:
        raise TrainError(f"{folder} has another chat template than the student was trained with")
    if serving.eos_token_id != job.reading.end_id or serving.pad_token_id == serving.eos_token_id:
        raise TrainError(f"{folder} ends a turn with {serving.eos_token!r}, trained was {job.reading.end!r}")
    for row in islice(job.dataset.rows(), _ROWS):
        trained = render_row(row, job.reading)
        if render_row(row, student).ids != trained.ids:
            raise TrainError(
                f"sample {row['id']}: the checkpoint's tokenizer gives other tokens than were trained"
            )
        messages, tools = template_messages(row), template_tools(row) or None
        if _shown(serving, messages, tools, prompt=False) != trained.ids:
            raise TrainError(f"sample {row['id']}: transformers lays it out otherwise than it was trained")
        for turn in trained.turns:
            shown = _shown(serving, messages[: turn.message], tools, prompt=True)
            if shown != trained.ids[: turn.first]:
                raise TrainError(
                    f"sample {row['id']}, message {turn.message}: a server would show the student another "
                    f"conversation than it was trained on"
                )


def _shown(serving: Any, messages: list[dict[str, Any]], tools: Any, prompt: bool) -> list[int]:
    ids: list[int] = serving.apply_chat_template(
        messages, tools=tools, add_generation_prompt=prompt, return_dict=False
    )
    return ids
