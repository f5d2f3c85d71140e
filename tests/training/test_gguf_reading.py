"""Tokenizers rebuilt from the facts in a GGUF give the tokens of the published ones."""

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

import sera
from sera.errors import ModelError
from sera.models.gguf import build_tokenizer, read_metadata_of, tensor_names

CACHE = Path(__file__).parents[2] / ".cache"
TRICKY = "x = 3.14159  # naïve – 字 \U0001f600\n\n\n\tdef f_1(a2b):\r\n    return '100%' if a2b>=12 else \"it's\"   \n"


def metadata_of(file: Path, splitting: str) -> dict[str, Any]:
    """What a converter writes into a GGUF."""
    told = json.loads(file.read_text("utf-8"))
    added = {token["id"]: token["content"] for token in told["added_tokens"]}
    texts = {number: text for text, number in told["model"]["vocab"].items()} | added
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in told["model"]["merges"]]
    return {
        "tokenizer.ggml.pre": splitting,
        "tokenizer.ggml.tokens": [texts[number] for number in range(len(texts))],
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.token_type": [3 if number in added else 1 for number in range(len(texts))],
    }


@pytest.mark.parametrize(("folder", "splitting"), [("tokenizer", "qwen2"), ("smollm2", "smollm")])
def test_the_tokens_are_those_of_the_published_one(folder: str, splitting: str) -> None:
    file = CACHE / folder / "tokenizer.json"
    if folder == "tokenizer":
        file = Path(os.environ.get("SERA_TOKENIZER", file))
    published, rebuilt = Tokenizer.from_file(str(file)), build_tokenizer(metadata_of(file, splitting))
    sources = sorted(Path(sera.__file__).parent.rglob("*.py"))[:15]
    for text in (
        TRICKY,
        "<|im_start|>user\n12<|im_end|>",
        *(source.read_text("utf-8") for source in sources),
    ):
        assert (
            rebuilt.encode(text, add_special_tokens=False).ids
            == published.encode(text, add_special_tokens=False).ids
        )


TEXT, LIST = 8, 9
HEAD = b"GGUF" + struct.pack("<IQQ", 3, 0, 1)
KEY = struct.pack("<Q", 1) + b"a"


@pytest.mark.parametrize(
    "content",
    [
        b"PK\x03\x04",
        HEAD + KEY[:5],
        HEAD + struct.pack("<Q", 2**40),
        HEAD + struct.pack("<Q", 2**63 + 5),
        HEAD + KEY + struct.pack("<I", 99),
        HEAD + KEY + struct.pack("<I", LIST) + struct.pack("<IQ", LIST, 1) * 5000,
        HEAD + KEY + struct.pack("<IQ", TEXT, 1) + b"\xff",
    ],
    ids=["other file", "torn", "long text", "longer text", "unknown kind", "nested", "no text"],
)
def test_damage_is_a_sentence_with_the_file_in_it(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "weights.gguf"
    file.write_bytes(content)
    for read in (read_metadata_of, tensor_names):
        with pytest.raises(ModelError, match=f"{file} is no whole GGUF file, fetch it"):
            read(file)


def test_a_splitting_that_is_not_known() -> None:
    with pytest.raises(ModelError, match="splits text by 'gemma9'"):
        build_tokenizer({"tokenizer.ggml.pre": "gemma9"})
