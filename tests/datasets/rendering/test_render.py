"""Rows as tokens with a mask, for both families."""

from pathlib import Path

import pytest
from made_datasets import make_dataset, rows
from made_samples import TOOLS, talk

from sera.datasets.rendering import load_student, render_row
from sera.datasets.rendering.lengths import turn_lengths
from sera.errors import UsageError
from sera.formats import FORMATS
from sera.formats.thinking import Think, rethink
from sera.records import Message


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("own", [False, True])
def test_pieces_are_the_tokens_of_the_whole(
    tmp_path: Path, style: str, own: bool, qwen_folder: str, smollm2_folder: str
) -> None:
    for folder in (qwen_folder, smollm2_folder):
        tokenizer = f"{folder}/tokenizer.json"
        make_dataset(tmp_path / "d", tokenizer, style)
        student = load_student(folder if own else "", tokenizer)
        assert student.cuts
        for row in rows(tmp_path / "d" / "train.jsonl"):
            found = render_row(row, student)
            assert found.ids == student.tokenizer.encode(found.text, add_special_tokens=False).ids
            assert [sum(lengths) for lengths in turn_lengths([row], student)] == [len(found.ids)]


def test_the_mask_is_what_the_assistant_says(qwen_tokenizer: str) -> None:
    student = load_student(tokenizer=qwen_tokenizer)
    messages = [turn.row for turn in FORMATS["hermes"].render(talk(2), TOOLS)]
    messages[2] = {**messages[2], "train": False}
    found = render_row({"id": "a", "messages": messages}, student)
    said = student.decode([number for number, loss in zip(found.ids, found.mask, strict=True) if loss])
    assert said == messages[4]["content"] + "<|im_end|>"
    assert [(turn.message, turn.train) for turn in found.turns] == [(2, False), (4, True)]


def test_families_are_recognised(qwen_folder: str, smollm2_folder: str, byte_tokenizer: str) -> None:
    qwen = load_student(tokenizer=f"{qwen_folder}/tokenizer.json")
    assert (qwen.name, qwen.template.name, qwen.end_id, qwen.pad) == (
        "qwen3",
        "chatml",
        151645,
        "<|endoftext|>",
    )
    small = load_student(smollm2_folder)
    assert (small.name, small.end, small.pad) == ("smollm2", "<|im_end|>", "<|im_end|>")
    assert load_student("smollm2", f"{smollm2_folder}/tokenizer.json").pad == "<|endoftext|>"
    assert load_student(tokenizer=byte_tokenizer).name == "another"


def test_a_student_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"qwen2\.5, qwen3, smollm2"):
        load_student(str(tmp_path / "none"))


SAID = Message(role="assistant", content="So:", reasoning="Hm.")


@pytest.mark.parametrize(
    ("mode", "reasoning", "content"),
    [("keep", "Hm.", "So:"), ("drop", "", "So:"), ("only", "Hm.", ""), ("wrap", "Hm.\n\nSo:", "")],
)
def test_what_becomes_of_reasoning(mode: str, reasoning: str, content: str) -> None:
    message = rethink(SAID, Think(mode))
    assert (message.reasoning, message.content) == (reasoning, content)
    assert rethink(Message(role="user", content="So:"), Think(mode)).content == "So:"


def test_a_turn_without_reasoning_keeps_its_text() -> None:
    said = Message(role="assistant", content="Done.")
    assert rethink(said, Think.ONLY) == said
    assert rethink(said, Think.WRAP).reasoning == "Done."
