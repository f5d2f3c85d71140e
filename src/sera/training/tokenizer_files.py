"""The student's tokenizer as files, with the template and the padding that it is trained and served with."""

import shutil
from pathlib import Path
from typing import Any

import msgspec

from sera.training.contract import Job

_FILES = ("special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "tokenizer.model")


def write_tokenizer(job: Job, folder: Path) -> None:
    """The student's own files, with the template and the padding that it was trained with."""
    student, reading = job.student, job.reading
    shutil.copyfile(student.tokenizer, folder / "tokenizer.json")
    for name in _FILES:
        if (student.folder / name).is_file():
            shutil.copyfile(student.folder / name, folder / name)
    config: dict[str, Any] = msgspec.json.decode((student.folder / "tokenizer_config.json").read_bytes())
    own = config.pop("chat_template", None)
    beside = student.folder / "chat_template.jinja"
    own = beside.read_text("utf-8") if beside.is_file() else own
    # What a trainer's library writes about where and how it loaded the files is no part of them.
    for key in ("is_local", "local_files_only", "backend"):
        config.pop(key, None)
    config |= {"pad_token": reading.pad, "eos_token": reading.end}
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    (folder / "tokenizer_config.json").write_bytes(pretty(config))
    (folder / "chat_template.jinja").write_text(reading.template.source, "utf-8")
    if isinstance(own, str) and own != reading.template.source:
        (folder / "chat_template.original.jinja").write_text(own, "utf-8")


def pretty(value: object) -> bytes:
    """JSON for people."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
