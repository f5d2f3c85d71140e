"""Single proofs on single rows, under templates that do to a row what students' own ones do."""

import json
from pathlib import Path
from typing import Any

import pytest
from made_samples import TOOLS

from sera.datasets.proof import Kind
from sera.datasets.proof.case import Case, Setting
from sera.datasets.proof.proofs import PROOFS
from sera.datasets.proof.rows import Checked, check_lines
from sera.datasets.rendering import load_student, render_row

Row = dict[str, Any]
LOOP = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
END = "{{ '<|im_end|>\n' }}{% endfor %}{{ '<|im_start|>assistant\n' if add_generation_prompt }}"
PLAIN = LOOP + "{{ m.content }}" + END
OWN_CALLS = (
    LOOP
    + (
        "{{ m.content }}{% for c in m.tool_calls %}{{ '[CALL]' + c.function.name + ' ' + (c.function.arguments | tojson) }}"
        "{% endfor %}"
    )
    + END
)
"""Spells calls as no parser reads them."""
OTHER_CALLS = (
    LOOP
    + (
        '{{ m.content }}{% for c in m.tool_calls %}{{ \'<tool_call>\n{"name": "bash", "arguments": {"command": "ls"}}\n'
        "</tool_call>' }}{% endfor %}"
    )
    + END
)
"""Always writes the same call."""


def raw(arguments: str = '{"command": "ls -l"}', **more: Any) -> Row:
    call = {"id": "call00001", "type": "function", "function": {"name": "bash", "arguments": arguments}}
    return {
        "id": "one",
        "messages": [
            {"role": "system", "content": "You mend programs."},
            {"role": "user", "content": "Mend it."},
            {"role": "assistant", "content": "I look.", "train": True, "tool_calls": [call]},
            {"role": "tool", "content": "a.py", "tool_call_id": "call00001"},
            {"role": "assistant", "content": "It is done.", "train": True},
        ],
        "tools": json.dumps(TOOLS),
        **more,
    }


def said(*contents: str, train: bool = True) -> Row:
    """A row of text: an assistant's turns, each after the user's."""
    turns: list[Row] = [{"role": "system", "content": "You mend programs."}]
    for content in contents:
        turns.append({"role": "user", "content": "Go on."})
        turns.append({"role": "assistant", "content": content, "train": train})
    return {"id": "one", "messages": turns}


@pytest.fixture
def student_of(tmp_path: Path, qwen_tokenizer: str) -> Any:
    def load(template: str) -> Any:
        (tmp_path / "own.jinja").write_text(template)
        return load_student(tokenizer=qwen_tokenizer, template=str(tmp_path / "own.jinja"))

    return load


def kinds(proof: str, row: Row, student: Any, style: str) -> list[Kind]:
    case = Case(row, render_row(row, student), student, Setting(format=style))
    return [fault.kind for one in PROOFS if one.name == proof for fault in one.find(case)]


# ── reasoning ─────────────────────────────────────────────────────────────────────────────────────

TRIMS = (
    LOOP
    + "{% if m.reasoning_content %}{{ '<think>' + m.reasoning_content | trim + '</think>\n' }}{% endif %}{{ m.content }}"
    + END
)
DROPS = LOOP + "{{ m.content | replace('I reckon.', '') }}" + END
THOUGHT = "<think>\nI reckon.\n</think>\n\nDone."


@pytest.mark.parametrize(
    ("template", "row", "found"),
    [
        (PLAIN, said(THOUGHT), []),
        (LOOP + "{{ m.content | replace('\n', '') }}" + END, said(THOUGHT), []),
        (DROPS, said("<think>I reckon. So.</think>Done."), [Kind.REASONING_LOST]),
        (DROPS, said(THOUGHT), [Kind.EMPTY_REASONING]),
        (PLAIN, said("Done. <think> </think>"), [Kind.EMPTY_REASONING]),
        (PLAIN, said("<think>I reckon.</think>It prints <think></think>."), []),
    ],
)  # fmt: skip
def test_reasoning_in_the_text(student_of: Any, template: str, row: Row, found: list[Kind]) -> None:
    assert kinds("reasoning", row, student_of(template), "hermes") == found


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_under_each_name_is_missed(student_of: Any, name: str) -> None:
    row = raw()
    row["messages"][2][name] = " I reckon. "
    assert kinds("reasoning", row, student_of(TRIMS), "raw") == []
    assert kinds("reasoning", row, student_of(PLAIN), "raw") == [Kind.REASONING_LOST]


# ── calls ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("template", "arguments", "found"),
    [
        (OWN_CALLS, '{"command": "ls -l"}', []),
        (OWN_CALLS, '{"command": "echo \\"é\\"\\n"}', []),
        (PLAIN, '{"command": "ls -l"}', [Kind.CALL_LOST]),
        (OWN_CALLS, '{"command": "ls", "timeout": null}', [Kind.NULL_ARGUMENT]),
        (OWN_CALLS, '[{"command": "ls"}]', []),
        (OTHER_CALLS, '{"command": "ls"}', []),
        (OTHER_CALLS, '{"command": "ls -l"}', [Kind.CALL_DIFFERS]),
    ],
)
def test_a_call_as_the_template_spells_it(
    student_of: Any, template: str, arguments: str, found: list[Kind]
) -> None:
    assert kinds("calls", raw(arguments), student_of(template), "raw") == found


# ── rows ──────────────────────────────────────────────────────────────────────────────────────────


def checked(row: Row, student: Any, style: str) -> Checked:
    (found,) = check_lines([json.dumps(row).encode()], student, Setting(format=style))
    return found


def test_a_row_without_an_answer_trains_nothing(student_of: Any) -> None:
    found = checked(said(), student_of(PLAIN), "hermes")
    assert [fault.kind for fault in found.faults] == [Kind.NOTHING_TRAINED]


def test_an_empty_column_of_tools_is_none(student_of: Any) -> None:
    row = raw(tools="")
    del row["messages"][2]["tool_calls"], row["messages"][3]
    assert checked(row, student_of(PLAIN), "raw").faults == ()


def test_the_tools_of_a_row_of_text_are_known_by_its_prompt(student_of: Any) -> None:
    """Not by what else the prompt says."""
    digests = []
    for prompt in (
        "You mend.",
        "You write.",
        "You mend.\n<tools>\n[1]",
        "You write.\n<tools>\n[1]",
        "\n<tools>\n[2]",
    ):
        row = said("Done.")
        row["messages"][0]["content"] = prompt
        digests.append(checked(row, student_of(PLAIN), "hermes").tools)
    assert [digests.index(one) for one in digests] == [0, 0, 2, 2, 4]


def test_a_last_turn_outside_the_loss_may_be_broken_off(student_of: Any) -> None:
    """It is what a cut has left of a turn, and nobody learns it."""
    broken_off = '<tool_call>\n{"name": "bash"'
    assert kinds("cut", said(broken_off), student_of(PLAIN), "hermes") == [Kind.CUT_CALL]
    assert kinds("cut", said("Done.", broken_off, train=False), student_of(PLAIN), "hermes") == []


def test_only_the_assistant_is_in_the_loss(student_of: Any) -> None:
    row = said("Done.")
    row["messages"][1]["train"] = True
    assert kinds("mask", row, student_of(PLAIN), "hermes") == [Kind.MASK]


def test_an_answer_that_is_written_twice_is_told(student_of: Any) -> None:
    twice = LOOP + "{{ m.content }}{{ m.content if loop.index0 == 6 }}" + END
    assert Kind.MASK in kinds("mask", said("One.", "Two.", "Three."), student_of(twice), "hermes")
