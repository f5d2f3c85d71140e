"""Samples to build from, and a tokenizer that counts bytes."""

import os
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

REAL = Path(__file__).parents[2] / ".cache" / "tokenizer" / "tokenizer.json"


@pytest.fixture(scope="session")
def byte_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of a tokenizer with one token for each byte, and one for each mark of the template."""
    vocabulary = {letter: number for number, letter in enumerate(sorted(ByteLevel.alphabet()))}
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<|im_start|>"), AddedToken("<|im_end|>")])
    path = str(tmp_path_factory.mktemp("tokenizer") / "tokenizer.json")
    tokenizer.save(path)
    return path


@pytest.fixture(scope="session")
def qwen_folder(qwen_tokenizer: str) -> str:
    """Folder with Qwen3's tokenizer and its own chat template."""
    folder = Path(qwen_tokenizer).parent
    if not (folder / "tokenizer_config.json").is_file():
        pytest.fail(f"no tokenizer_config.json in {folder}: `make setup` fetches it")
    return str(folder)


@pytest.fixture(scope="session")
def smollm2_folder() -> str:
    """Folder with SmolLM2's tokenizer and its own chat template."""
    folder = REAL.parents[1] / "smollm2"
    if not (folder / "tokenizer.json").is_file():
        pytest.fail(f"no tokenizer in {folder}: `make setup` fetches it")
    return str(folder)


@pytest.fixture(scope="session")
def qwen_tokenizer() -> str:
    """Path of Qwen3's own."""
    path = Path(os.environ.get("SERA_TOKENIZER", REAL))
    if not path.is_file():
        pytest.fail(f"no tokenizer at {path}: `make setup` fetches it")
    return str(path)
