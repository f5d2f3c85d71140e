"""A tiny student and a dataset for it: everything that `sera train` needs, made in the test."""

import json
from pathlib import Path

import pytest
from training_support import SHAPE, make_data, tiny_config, write_tokenizer

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
