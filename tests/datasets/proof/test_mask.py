"""The proof of the mask, held against masks and turns that are displaced by single tokens."""

from collections.abc import Callable

import msgspec
import pytest
from made_datasets import make_dataset, rows

from sera.datasets.proof import Kind
from sera.datasets.proof.case import Case, Setting
from sera.datasets.proof.mask import mask_is_exact
from sera.datasets.rendering import Rendered, load_student, render_row

Change = Callable[[Rendered], Rendered]
STYLES = ("hermes", "xml", "raw")


def turn(number: int, first: int, stop: int) -> Change:
    """Moves the edges of a turn, and its mask with them, by so many tokens."""

    def change(found: Rendered) -> Rendered:
        turns = list(found.turns)
        span = turns[number]
        turns[number] = msgspec.structs.replace(span, first=span.first + first, stop=span.stop + stop)
        mask = [False] * len(found.ids)
        for span in turns:
            mask[span.first : span.stop] = [span.train] * (span.stop - span.first)
        return msgspec.structs.replace(found, turns=tuple(turns), mask=mask)

    return change


def flip(number: int, place: int) -> Change:
    """Turns one token of a turn's mask around."""

    def change(found: Rendered) -> Rendered:
        mask, span = list(found.mask), found.turns[number]
        at = range(span.first, span.stop)[place]
        mask[at] = not mask[at]
        return msgspec.structs.replace(found, mask=mask)

    return change


@pytest.fixture(scope="module", params=STYLES)
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, qwen_tokenizer: str
) -> Case:
    folder = tmp_path_factory.mktemp("mask") / request.param
    make_dataset(folder, qwen_tokenizer, request.param)
    student, row = load_student(tokenizer=qwen_tokenizer), rows(folder / "train.jsonl")[0]
    return Case(row, render_row(row, student), student, Setting(format=request.param))


def test_the_mask_as_it_is_made(case: Case) -> None:
    assert list(mask_is_exact(case)) == []
    assert len(case.rendered.turns) > 2


@pytest.mark.parametrize("number", [0, 1, -1])
@pytest.mark.parametrize("edges", [(-1, 0), (1, 0), (0, 1), (0, -1), (-1, -1), (1, 1)])
def test_a_turn_that_is_displaced_by_a_token(case: Case, number: int, edges: tuple[int, int]) -> None:
    """It covers what another said, or leaves out what the assistant said; the tokens are shown."""
    moved = Case(case.row, turn(number, *edges)(case.rendered), case.student, case.setting)
    faults = list(mask_is_exact(moved))
    assert {fault.kind for fault in faults} == {Kind.MASK}
    assert all(fault.tokens for fault in faults)


@pytest.mark.parametrize("place", [0, 1, -1])
def test_a_token_whose_mask_is_turned_around(case: Case, place: int) -> None:
    changed = Case(case.row, flip(1, place)(case.rendered), case.student, case.setting)
    assert "mask does not follow" in "".join(fault.message for fault in mask_is_exact(changed))
