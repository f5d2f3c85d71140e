"""A checkpoint as one GGUF file for llama.cpp, tried before it takes its place.

For the architectures that a GGUF student can be of. The tokenizer and the template are the checkpoint's. The
file is loaded by llama.cpp, answers, and must have counted the same tokens in the question as the
checkpoint's tokenizer.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from sera.datasets.rendering import Student, load_student
from sera.errors import ModelError, TrainError, UsageError, boundary
from sera.models.shapes import Shape
from sera.records import Message
from sera.teachers.contract import ChatRequest
from sera.teachers.local import LocalConfig, LocalTeacher
from sera.training.finish import read_finished
from sera.training.folder import CHECKPOINT
from sera.training.student import ARCHITECTURES, open_student

FILE = "student.gguf"
_QUESTION = "def area(r):\n\treturn 3.14159 * r ** 2  # 20 digits\n\nWhat's wrong in the year 2026, naïvely?"
_UNUSED = 5
"""Kind of a token that only fills the vocabulary up; `gguf.TokenType` has no names for type checkers."""


def export_gguf(out: Path, kind: str) -> Path:
    """Write `out/student.gguf` from `out/checkpoint`; `kind` is `f16` or `q8_0`.

    Raises `TrainError` if the checkpoint cannot be expressed, or llama.cpp reads it otherwise.
    """
    folder, file = out / CHECKPOINT, out / FILE
    read_finished(folder)
    model = open_student(str(folder))
    refuse_inexpressible(model.shape)
    new = out / f".{FILE}"
    student = load_student(str(folder))
    with boundary(TrainError, f"the GGUF cannot be written to {out}"):
        _write(folder, model.shape, student, kind, new)
        asyncio.run(_try(new, student))
        new.replace(file)
    return file


def refuse_inexpressible(shape: Shape) -> None:
    """Raises `TrainError` for an architecture that is not written as GGUF here."""
    if shape.architecture not in ARCHITECTURES:
        raise TrainError(
            f"{shape.architecture} models cannot be written as GGUF here, only {', '.join(ARCHITECTURES)}: "
            "use llama.cpp's own converter on the checkpoint"
        )


def _write(folder: Path, shape: Shape, student: Student, kind: str, file: Path) -> None:
    with boundary(UsageError, 'GGUF needs a library: pip install "sera[train]"', ImportError):
        import gguf
    config = msgspec.json.decode((folder / "config.json").read_bytes(), type=dict[str, Any])
    writer = gguf.GGUFWriter(str(file), shape.architecture)
    _describe(writer, shape, config, kind)
    _add_tokenizer(writer, shape, student, folder)
    names = gguf.get_tensor_name_map(_architecture(shape.architecture), shape.layers)
    for name, values in _tensors(folder, shape):
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if target is None:
            raise TrainError(f"the weight {name} has no place in a GGUF of {shape.architecture}")
        data, stored = _stored(values, kind)
        writer.add_tensor(target, data, raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _architecture(name: str) -> Any:
    import gguf

    return next(number for number, known in gguf.MODEL_ARCH_NAMES.items() if known == name)


def _describe(writer: Any, shape: Shape, config: dict[str, Any], kind: str) -> None:
    import gguf

    rope = config.get("rope_parameters") or {}
    writer.add_name(config.get("_name_or_path") or "student")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.width)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0))
    writer.add_layer_norm_rms_eps(float(config["rms_norm_eps"]))
    writer.add_vocab_size(shape.vocabulary)
    types = {"f16": gguf.LlamaFileType.MOSTLY_F16, "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0}
    writer.add_file_type(types[kind])


def _add_tokenizer(writer: Any, shape: Shape, student: Student, folder: Path) -> None:
    import gguf

    told: dict[str, Any] = msgspec.json.decode((folder / "tokenizer.json").read_bytes())
    added = {token["id"]: token["content"] for token in told["added_tokens"]}
    texts = {number: text for text, number in told["model"]["vocab"].items()} | added
    numbers = range(shape.vocabulary)
    kinds = [
        _UNUSED
        if number not in texts
        else gguf.TokenType.CONTROL
        if number in added
        else gguf.TokenType.NORMAL
        for number in numbers
    ]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in told["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_splitting(told))
    writer.add_token_list([texts.get(number, f"[PAD{number}]") for number in numbers])
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(student.end_id)
    writer.add_pad_token_id(student.tokenizer.token_to_id(student.pad or ""))
    writer.add_add_bos_token(False)
    writer.add_chat_template(student.template.source)


def _splitting(tokenizer: dict[str, Any]) -> str:
    """llama.cpp's name for how a text is split before it is encoded."""
    before = tokenizer["pre_tokenizer"] or {}
    steps = before.get("pretokenizers", [before])
    kinds = [step.get("type") for step in steps]
    if kinds == ["Digits", "ByteLevel"]:
        return "smollm"
    if kinds == ["Split", "ByteLevel"] and r"|\p{N}|" in str(steps[0]["pattern"]):
        return "qwen2"
    if kinds == ["ByteLevel"]:
        return "gpt-2"
    raise TrainError(f"llama.cpp has no name for a tokenizer that splits by {kinds}: use its own converter")


def _tensors(folder: Path, shape: Shape) -> Iterator[tuple[str, Any]]:
    """Names and values, one at a time in memory."""
    from safetensors import safe_open

    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118  (it is no mapping)
                values = opened.get_tensor(name).float()
                heads = shape.heads if ".q_proj." in name else shape.kv_heads if ".k_proj." in name else 0
                if heads and shape.architecture == "llama":
                    values = _interleaved(values, heads)
                yield name, values.numpy()


def _interleaved(values: Any, heads: int) -> Any:
    """Rows in the order in which llama.cpp turns a head's halves."""
    rows = values.shape[0]
    halves = values.reshape(heads, 2, rows // heads // 2, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)


def _stored(values: Any, kind: str) -> tuple[Any, Any]:
    import gguf

    quants = gguf.GGMLQuantizationType
    if values.ndim == 1:
        return values, quants.F32
    if kind == "q8_0" and values.shape[-1] % 32 == 0:
        return gguf.quants.quantize(values, quants.Q8_0), quants.Q8_0
    return values.astype("float16"), quants.F16


async def _try(file: Path, student: Student) -> None:
    """Raises `TrainError` if llama.cpp cannot run it, or reads the question as other tokens."""
    asked = Message(role="user", content=_QUESTION)
    config = LocalConfig(model=str(file), temperature=0, max_tokens=4, context=512, threads=1)
    try:
        async with LocalTeacher(config) as teacher:
            reply = await teacher.complete(ChatRequest(messages=(asked,), seed=0))
    except ModelError as problem:
        raise TrainError(f"the GGUF does not run: {problem}") from problem
    text = student.template.render([{"role": "user", "content": _QUESTION}], prompt=True)
    expected = len(student.encode([text])[0])
    if reply.usage.prompt != expected:
        raise TrainError(
            f"llama.cpp reads {reply.usage.prompt} tokens where the checkpoint's tokenizer has {expected}: "
            f"the GGUF would not see what was trained"
        )
