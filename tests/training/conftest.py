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
def bare_student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student without weights: all that is looked at before training."""
    folder = tmp_path_factory.mktemp("students") / "tiny"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", **SHAPE}))
    write_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def student_folder(bare_student: Path) -> Path:
    """The same with random weights."""
    torch = pytest.importorskip("torch")
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**SHAPE)).save_pretrained(bare_student)
    return bare_student


def write_tokenizer(folder: Path) -> None:
    letters = [*sorted(ByteLevel.alphabet()), "th"]
    tokenizer = Tokenizer(BPE({letter: number for number, letter in enumerate(letters)}, [("t", "h")]))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    marks = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
    tokenizer.add_special_tokens([AddedToken(mark, special=True) for mark in marks])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "chat_template": "{{ messages }}"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory, bare_student: Path) -> Path:
    """Twelve tasks of Hermes rows for the tiny student."""
    return make_data(tmp_path_factory.mktemp("data") / "data", bare_student)


@pytest.fixture
def asked(data: Path, bare_student: Path, tmp_path: Path) -> Request:
    """What a training of a few steps is asked for; to be refused before weights are looked at."""
    return Request(dataset=data, student=str(bare_student), out=tmp_path / "out", config=tiny_config())


@pytest.fixture
def request_(asked: Request, student_folder: Path) -> Request:
    """The same with weights to train."""
    return asked
