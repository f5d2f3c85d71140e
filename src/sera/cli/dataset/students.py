"""`--student` of the dataset's commands: what `sera train` takes, and the families."""

import click

student_option = click.option(
    "--student",
    default="",
    metavar="FAMILY|MODEL",
    help="qwen3, qwen2.5 or smollm2, or the model as sera train takes it.",
)


def reading(student: str, tokenizer: str) -> dict[str, str]:
    """`student` and `tokenizer` as datasets take them: a family or a folder is one already, of any other model
    they are its own."""
    from pathlib import Path

    from sera.datasets.rendering.student import families

    if not student or student in families() or Path(student).is_dir():
        return {"student": student, "tokenizer": tokenizer}
    from sera.training.student import open_student

    names = open_student(student, tokenizer).names()
    return {"student": names.student, "tokenizer": names.tokenizer}
