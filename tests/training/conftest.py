"""A tiny student and a dataset for it: everything that `sera train` needs, made in the test."""

import json
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from training_support import SHAPE, make_data, tiny_config

from sera.training import Request


@pytest.fixture(scope="session")
def student_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of two layers with random weights, and a tokenizer with a token for each byte."""
    torch = pytest.importorskip("torch")
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("students") / "tiny"
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**SHAPE)).save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def write_tokenizer(folder: Path) -> None:
    vocabulary = {letter: number for number, letter in enumerate(sorted(ByteLevel.alphabet()))}
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    marks = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
    tokenizer.add_special_tokens([AddedToken(mark, special=True) for mark in marks])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "chat_template": "{{ messages }}"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory, student_folder: Path) -> Path:
    """Twelve tasks of Hermes rows for the tiny student."""
    return make_data(tmp_path_factory.mktemp("data") / "data", student_folder)


@pytest.fixture
def request_(data: Path, student_folder: Path, tmp_path: Path) -> Request:
    """A training of a few steps."""
    return Request(dataset=data, student=str(student_folder), out=tmp_path / "out", config=tiny_config())
