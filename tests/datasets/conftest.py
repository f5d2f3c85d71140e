"""The tokenizers of students."""

import os
from pathlib import Path

import pytest

REAL = Path(__file__).parents[2] / ".cache" / "tokenizer" / "tokenizer.json"


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
