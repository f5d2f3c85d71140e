"""A folder in the Hugging Face form as a model to be served: a checkpoint of `sera train`, or any student.

What `sera evaluate` asks of it decides what its server needs. Calls of the formats `hermes` and `xml` are
written and read by sera, as text, with the reasoning in it; Hermes' has a parser in both engines, so that
other programs find structured calls too. Anything else is asked as the protocol has it, and the template
shows which parsers fit.
"""

import re
from pathlib import Path
from typing import Any

import msgspec

from sera.errors import ModelError, boundary
from sera.models.checkpoints import CHECKPOINT, TEMPLATE, Saved, read_checkpoint
from sera.models.shapes import shape_of_folder
from sera.teachers.serving.facts import Engine, Model

_HERMES: dict[Engine, str] = {"vllm": "hermes", "sglang": "qwen"}
_QWEN3: dict[Engine, str] = {"vllm": "qwen3", "sglang": "qwen3"}
_WITHOUT_PARSER = {
    "xml": "no server parses calls of the format xml, and none has to: sera evaluate writes and reads them",
    "": "nothing says which parser its tool calls need: add one to the command, or no call is found",
}


def model_of(folder: Path) -> Model:
    """Its facts. Raises `ModelError` if they are damaged, contradict each other, or are of a mixture of
    experts."""
    shape = shape_of_folder(folder)
    found = read_checkpoint(str(folder))
    saved = found.saved if found else Saved()
    template = _template(folder)
    tools = _tools(saved, template)
    thinks = saved.format in ("", "raw") and saved.think != "drop" and "<think>" in template
    size = shape.parameters / 1e9
    return Model(
        name=_name(folder.resolve()),
        repository=str(folder.resolve()),
        fp8="",
        total=size,
        active=size,
        layers=shape.layers,
        heads=shape.heads,
        kv_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        context=shape.context,
        experts=0,
        expert_width=0,
        fp8_block=0,
        tools=tools,
        reasoning=_QWEN3 if thinks and shape.architecture == "qwen3" else {},
        note="" if tools else _WITHOUT_PARSER.get(saved.format, _WITHOUT_PARSER[""]),
        source=str(folder / "config.json"),
        student=True,
        trained=saved.context,
    )


def _name(folder: Path) -> str:
    """What it is served as: of a training, the name of that."""
    own = folder.parent.name if folder.name == CHECKPOINT else folder.name
    return re.sub(r"[^\w.-]+", "-", own, flags=re.ASCII).strip("-.") or "student"


def _tools(saved: Saved, template: str) -> dict[Engine, str]:
    """The parsers of its calls, if there are any."""
    by_template = "<tool_call>" in template and "<function=" not in template
    return _HERMES if saved.format == "hermes" or (saved.format != "xml" and by_template) else {}


def _template(folder: Path) -> str:
    """Its chat template; empty if it has none, or one by name for each use."""
    if (folder / TEMPLATE).is_file():
        return (folder / TEMPLATE).read_text("utf-8")
    file = folder / "tokenizer_config.json"
    if not file.is_file():
        return ""
    with boundary(ModelError, f"{file} cannot be read", OSError, msgspec.DecodeError):
        template = msgspec.json.decode(file.read_bytes(), type=dict[str, Any]).get("chat_template")
    return template if isinstance(template, str) else ""
