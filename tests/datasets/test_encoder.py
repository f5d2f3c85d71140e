"""The encoder: what it remembers changes nothing but the time."""

import random

from sera.datasets.rendering import load_student, render_row
from sera.datasets.tokens import Encoder, read_tokenizer


class Watched:
    """A tokenizer that counts the texts it is given."""

    def __init__(self, tokenizer: str) -> None:
        self.inner = read_tokenizer(tokenizer).tokenizer
        self.texts: list[str] = []

    def encode_batch_fast(self, texts: list[str], add_special_tokens: bool) -> list[object]:
        self.texts += texts
        found: list[object] = self.inner.encode_batch_fast(texts, add_special_tokens=add_special_tokens)
        return found


def test_no_text_is_tokenised_twice(byte_tokenizer: str) -> None:
    watched = Watched(byte_tokenizer)
    encoder = Encoder(watched, "")  # type: ignore[arg-type]
    assert [len(ids) for ids in encoder.encode(["ab", "é", "ab", ""])] == [2, 2, 2, 0]
    assert [len(ids) for ids in encoder.encode(["é", "abc"])] == [2, 3]
    assert watched.texts == ["ab", "é", "", "abc"]


def test_what_is_not_asked_for_is_forgotten_first(byte_tokenizer: str) -> None:
    watched = Watched(byte_tokenizer)
    encoder = Encoder(watched, "", room=2_000)  # type: ignore[arg-type]
    texts = [str(number) * 50 for number in range(4)]
    for text in (*texts, texts[0], "x" * 100, texts[0], texts[1]):
        encoder.encode([text])
    assert watched.texts == [*texts, "x" * 100, texts[1]]


def test_with_little_room_the_tokens_are_the_same(byte_tokenizer: str) -> None:
    draw = random.Random(5)
    texts = [draw.choice("abcé") * draw.randrange(40) for _ in range(700)]
    fresh, small = (Encoder(read_tokenizer(byte_tokenizer).tokenizer, "", room) for room in (10**9, 900))
    for start in range(0, len(texts), 31):
        some = texts[start : start + 31]
        assert small.encode(some) == fresh.encode(some)
        assert [len(ids) for ids in small.encode(some)] == [len(text.encode()) for text in some]


def test_a_turn_that_is_no_piece_is_found_in_the_whole_text(qwen_tokenizer: str) -> None:
    """A prompt that runs into the answer, and an answer that begins another turn."""
    student = load_student(tokenizer=qwen_tokenizer)
    for said in ("\n\nHm.", "See <|im_start|>user\nno"):
        messages = [
            {"role": "user", "content": "?", "train": False},
            {"role": "assistant", "content": said, "train": True},
        ]
        found = render_row({"id": "a", "messages": messages}, student)
        whole = student.tokenizer.encode(found.text, add_special_tokens=False).ids
        (turn,) = found.turns
        assert found.ids == whole
        assert student.decode(found.ids[turn.first : turn.stop]).endswith("<|im_end|>")
        assert sum(found.mask) == turn.stop - turn.first
