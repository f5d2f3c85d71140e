"""What a GGUF file says of itself, and the tokenizer in it as the files that models are published with.

Reads only the beginning of a file. The tokenizer is byte-level BPE; how a text is split before it is encoded
a GGUF names but does not hold, so the kinds of splitting are known here by name: SmolLM2's, for which digits
stand alone before GPT-2's own splitting, and Qwen's.
"""

import json
import struct
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sera.errors import ModelError, UsageError, boundary

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _LIST = 8, 9
_CONTROL = 3
_MOST_TEXT = 1 << 24
"""Bytes of one text; what claims to be longer is damage."""
_DAMAGES = (struct.error, KeyError, ValueError, RecursionError)
_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
_NAMES = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}


def read_metadata(file: IO[bytes], name: str) -> dict[str, Any]:
    """The key-value part. Raises `ModelError` with the name if it is no GGUF, ends early or is damaged."""
    with boundary(ModelError, f"{name} is no whole GGUF file, fetch it or convert it anew", *_DAMAGES):
        if file.read(4) != b"GGUF":
            raise ValueError("it does not begin like one")
        _scalar(file, "I")
        _scalar(file, "Q")
        pairs = _scalar(file, "Q")
        return {_value(file, _TEXT): _value(file, _scalar(file, "I")) for _ in range(pairs)}


def read_metadata_of(path: Path) -> dict[str, Any]:
    """The same of a file by its path."""
    with boundary(ModelError, f"cannot read the weights {path}"), path.open("rb") as file:
        return read_metadata(file, str(path))


def tensor_names(path: Path) -> list[str]:
    """Names of all tensors of a file, in its order."""
    with boundary(ModelError, f"cannot read the weights {path}", OSError, *_DAMAGES), path.open("rb") as file:
        read_metadata(file, str(path))
        end = file.tell()
        file.seek(8)
        number = _scalar(file, "Q")
        file.seek(end)
        return [_tensor(file) for _ in range(number)]


def build_tokenizer(metadata: dict[str, Any]) -> "Tokenizer":
    """The tokenizer as the `tokenizers` library has it; `ModelError` if its splitting is not known."""
    try:
        from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
        from tokenizers import Regex as Pattern
    except ImportError as missing:
        raise UsageError('reading tokenizers needs a library: pip install "sera[dataset]"') from missing
    kind, splitting = pre_tokenizers, metadata.get("tokenizer.ggml.pre")
    known: dict[Any, list[Any]] = {
        "smollm": [
            kind.Digits(individual_digits=True),
            kind.ByteLevel(add_prefix_space=False, use_regex=True),
        ],
        "qwen2": [
            kind.Split(Pattern(_QWEN2), "isolated"),
            kind.ByteLevel(add_prefix_space=False, use_regex=False),
        ],
    }
    if splitting not in known:
        raise ModelError(
            f"the GGUF's tokenizer splits text by {splitting!r}, which is not known here (known: "
            f"{', '.join(known)}): take the model as a folder with its tokenizer.json"
        )
    texts = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({text: number for number, text in enumerate(texts)}, merges))
    if splitting == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = kind.Sequence(known[splitting])
    tokenizer.decoder = decoders.ByteLevel()
    kinds = zip(texts, metadata["tokenizer.ggml.token_type"], strict=True)
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text, kind in kinds if kind == _CONTROL])
    return tokenizer


def write_tokenizer(metadata: dict[str, Any], folder: Path) -> None:
    """`tokenizer.json` and `tokenizer_config.json` with the chat template, in a folder that is made."""
    texts = metadata["tokenizer.ggml.tokens"]
    numbers = {key: metadata.get(f"tokenizer.ggml.{name}_token_id") for key, name in _NAMES.items()}
    config = {key: texts[number] for key, number in numbers.items() if number is not None}
    if template := metadata.get("tokenizer.chat_template"):
        config["chat_template"] = template
    folder.mkdir(parents=True, exist_ok=True)
    build_tokenizer(metadata).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), "utf-8")


def _tensor(file: IO[bytes]) -> str:
    """The name in one entry of the list of tensors."""
    name: str = _value(file, _TEXT)
    dimensions = _scalar(file, "I")
    file.seek(8 * dimensions + 4 + 8, 1)
    return name


def _scalar(file: IO[bytes], kind: str) -> Any:
    return struct.unpack(f"<{kind}", file.read(struct.calcsize(f"<{kind}")))[0]


def _value(file: IO[bytes], kind: int) -> Any:
    if kind == _TEXT:
        size = _scalar(file, "Q")
        if size > _MOST_TEXT:
            raise ValueError(f"a text of {size:,} bytes is in it")
        return file.read(size).decode()
    if kind == _LIST:
        member, length = _scalar(file, "I"), _scalar(file, "Q")
        return [_value(file, member) for _ in range(length)]
    return _scalar(file, _SCALARS[kind])
