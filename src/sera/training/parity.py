"""Whether a checkpoint, laid out by its own files as a server does it, shows what was trained.

Two ways: the dataset's proofs with the checkpoint in the student's place, and transformers' own tokenizer
and template, which vLLM and SGLang use: all of a row, and what the student is shown before each of its
turns. That is looked at twice: before a training, of the tokenizer's files alone, and when it is done.
"""

from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from sera.datasets.rendering import load_student, render_row
from sera.datasets.rendering.render import template_messages, template_tools
from sera.errors import TrainError, boundary
from sera.leases import leased_folder
from sera.training.contract import Job
from sera.training.tokenizer_files import write_tokenizer

_ROWS = 16


def refuse_unservable(job: Job) -> None:
    """Raises `TrainError` if what a training would give could not be served as it was trained. Who only plans
    may lack transformers; then it is left to the end."""
    if find_spec("transformers") is None:
        return
    with leased_folder("serving") as folder:
        with boundary(TrainError, f"the tokenizer of {job.student.name} cannot be written to {folder}"):
            write_tokenizer(job, folder)
        refuse_unlike_serving(job, folder)


def refuse_unlike_serving(job: Job, folder: Path) -> None:
    """Raises `TrainError` at the first row that a server would show otherwise."""
    student = load_student(str(folder))
    with boundary(
        TrainError, f"the tokenizer of {job.student.name} cannot be loaded as servers do", Exception
    ):
        from transformers import AutoTokenizer

        serving = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if student.template.sha256 != job.reading.template.sha256:
        raise TrainError(f"the files of {job.student.name} hold another chat template than is trained with")
    if serving.eos_token_id != job.reading.end_id or serving.pad_token_id == serving.eos_token_id:
        raise TrainError(
            f"servers would end a turn of {job.student.name} with {serving.eos_token!r}, and "
            f"{job.reading.end!r} is trained: mend its tokenizer_config.json"
        )
    for row in islice(job.dataset.rows(), _ROWS):
        trained = render_row(row, job.reading)
        if render_row(row, student).ids != trained.ids:
            raise TrainError(
                f"sample {row['id']}: the checkpoint's tokenizer gives other tokens than were trained"
            )
        messages, tools = template_messages(row, job.reading.template), template_tools(row) or None
        if _shown(serving, messages, tools, prompt=False) != trained.ids:
            raise TrainError(
                f"sample {row['id']}: transformers lays it out otherwise than it is trained: what "
                f"tokenizer_config.json says of {job.student.name} is not what its tokenizer.json does"
            )
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
