"""Reading `<output>` blocks, whatever a model puts around and into them."""

import pytest

from sera.generation.answers import read_block, read_verdict


@pytest.mark.parametrize(
    ("text", "block"),
    [
        ("<output>\na\n</output>", "a"),
        ("I think:\n<output>a</output> That is it.", "a"),
        ("<output>draft</output> or rather <output>final</output>", "final"),
        ("<output>a</output><output> </output>", "a"),
        ("<output>cut off in the mid", "cut off in the mid"),
        ("no block", ""),
        ("", ""),
        ("<output></output>", ""),
    ],
)
def test_blocks(text: str, block: str) -> None:
    assert read_block(text) == block


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("<output>\nyes\nIt is complete.\n</output>", True),
        ("<output>No. Nothing was changed.</output>", False),
        ("<output>**Yes** – fine</output>", True),
        ("<output>nobody knows</output>", None),
        ("<output>It is fine, yes</output>", None),
        ("yes", None),
    ],
)
def test_verdicts(text: str, verdict: bool | None) -> None:
    assert read_verdict(text) is verdict
