"""Students with templates that nobody has told us of: where turns begin and end is found by rendering."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from made_samples import SOURCE, TOOLS, sample, talk

from sera.datasets import DatasetConfig, build_dataset
from sera.datasets.proof import Kind
from sera.datasets.proof.case import Setting
from sera.datasets.proof.folder import student_fits
from sera.datasets.proof.rows import Checked, check_lines
from sera.datasets.rendering import Student, load_student, render_row
from sera.datasets.rendering.lengths import turn_lengths
from sera.errors import DatasetError, UsageError
from sera.formats import find_format
from sera.records import Message

Make = Callable[..., Student]
LOOP = "{%- for m in messages -%}"
TURN = "{{ '<|h|>' + m.role + '<|/h|>\n\n' + m.content | trim + '<|eot|>' }}"
HEADS = (
    "{{ bos_token }}"
    + LOOP
    + TURN
    + "{%- endfor -%}{{ '<|h|>assistant<|/h|>\n\n' if add_generation_prompt }}"
)
MODEL = (
    "{{ bos_token }}{% set first = messages[0].content + '\n\n' if messages[0].role == 'system' else '' %}"
    "{% set rest = messages[1:] if first else messages %}{% for m in rest %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{{ '<turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' + (first if loop.first else '') + m.content | trim"
    " + '</turn>\n' }}{% endfor %}{{ '<turn>model\n' if add_generation_prompt }}"
)
INSTRUCT = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ '[S]' + messages[0].content + '[/S]' }}{% endif %}"
    + LOOP
    + "{% if m.role == 'user' %}{{ '[I] ' + m.content + ' [/I]' }}{% elif m.role == 'assistant' %}"
    "{{ ' ' + m.content + eos_token }}{% elif m.role == 'tool' %}{{ raise_exception('no tools') }}{% endif %}{% endfor %}"
)
AT_THE_END = (
    LOOP + "{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}"
    "{{ '<|assistant|>\n' if add_generation_prompt else eos_token }}"
)
ALWAYS = (
    LOOP + "{% if m.role == 'assistant' %}{{ '<|t|><|bot|><|say|>' + m.content + '<|/say|><|/t|>' }}"
    "{% else %}{{ '<|t|><|' + m.role + '|>' + m.content + '<|/t|>' }}{% endif %}{% endfor %}<|t|><|bot|>"
)
THINKS = (
    "{% set ns = namespace(last=-1) %}" + LOOP + "{% if m.role == 'user' and not "
    "m.content.startswith('<tool_response>') %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
    + LOOP
    + "{% if m.role == 'assistant' %}{% set parts = m.content.split('</think>') %}"
    "{% set thought = (parts[0].split('<think>')[-1] if parts | length > 1 else '') | trim %}"
    "{{ '<|im_start|>assistant\n' + ('<think>\n' + thought + '\n</think>\n\n' if loop.index0 > ns.last else '') "
    "+ parts[-1].lstrip() + '<|im_end|>\n' }}{% else %}"
    "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{{ '<|im_start|>assistant\n<think>\n' if add_generation_prompt }}"
)
BLOCKS = (
    LOOP
    + "{% if m.role == 'assistant' %}<|im_start|>assistant\n{% generation %}{{ m.content + '<|im_end|>\n' }}"
    "{% endgeneration %}{% else %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% elif messages[-1].role == 'assistant' %}"
    "{% generation %}{{ eos_token }}{% endgeneration %}{% endif %}"
)
IM = LOOP + "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
PROMPT = "{{ '<|im_start|>assistant\n' if add_generation_prompt else '' }}"
SHOWN = "<|im_start|>user\nHello.<|im_end|>\n<|im_start|>assistant\nHello to you.<|im_end|>\n"
NUMBERED = (
    LOOP + "{{ '<|im_start|>' + m.role ~ loop.index ~ '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant' ~ (messages | length + 1) ~ '\n' }}{% endif %}"
)
DATE = "{% set today = strftime_now('%d %b %Y') %}"
CALLS = (
    "{{ bos_token }}"
    + LOOP
    + "{% if m.role == 'assistant' %}{{ m.content }}{% for c in m.tool_calls or [] %}"
    "{% if c.id | length != 9 %}{{ raise_exception('ids of length 9!') }}{% endif %}"
    "{{ '[C]' + c.function | tojson + c.id }}{% endfor %}{{ eos_token }}{% elif m.role == 'tool' %}"
    "{{ '[R]' + m.tool_call_id + ' ' + m.content + '[/R]' }}{% else %}{{ '[I]' + m.content + '[/I]' }}{% endif %}"
    "{% endfor %}"
)
MARKS = {
    "heads": ("<|h|>", "<|/h|>", "<|eot|>"),
    "model": ("<turn>", "</turn>"),
    "instruct": ("[S]", "[/S]", "[I]", "[/I]"),
    "at the end": ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
    "always": ("<|t|>", "<|/t|>", "<|bot|>", "<|user|>", "<|system|>", "<|say|>", "<|/say|>"),
    "calls": ("[I]", "[/I]", "[C]", "[R]", "[/R]"),
}
EOS = {"always": "<|/t|>", "heads": "<|eot|>"}
GOOD = {
    "heads": (HEADS, "<|eot|>", ""),
    "model": (MODEL, "</turn>", ""),
    "instruct": (INSTRUCT, "</s>", " "),
    "at the end": (AT_THE_END, "<|end|>", ""),
    "always": (ALWAYS, "<|/t|>", "<|say|>"),
    "a date that it does not write": (DATE + BLOCKS, "<|im_end|>", ""),
    "blocks": (BLOCKS, "<|im_end|>", ""),
    "thinks": (THINKS, "<|im_end|>", ""),
    "turns are numbered": (NUMBERED, "<|im_end|>", ""),
    "it begins with an example": (SHOWN + IM + PROMPT, "<|im_end|>", ""),
}


@pytest.fixture
def make(byte_tokenizer: str, tmp_path: Path) -> Make:
    """Makes a model's folder, with bos and eos, and loads it."""

    def load(template: str, *marks: str, **config: Any) -> Student:
        from tokenizers import AddedToken, Tokenizer
        from tokenizers.processors import TemplateProcessing

        tokenizer = Tokenizer.from_file(byte_tokenizer)
        tokenizer.add_special_tokens([AddedToken(mark) for mark in ("<s>", "</s>", "<pad>", *marks)])
        tokenizer.post_processor = TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
        )
        folder = tmp_path / "model"
        folder.mkdir()
        tokenizer.save(str(folder / "tokenizer.json"))
        settings = {"bos_token": "<s>", "eos_token": {"content": "</s>"}, "pad_token": "<pad>"} | config
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        (folder / "chat_template.jinja").write_text(template)
        return load_student(str(folder))

    return load


def row(style: str = "hermes", messages: tuple[Message, ...] | None = None) -> dict[str, Any]:
    said = messages or (*talk(3), Message(role="assistant", content="Done.", reasoning="So it is."))
    turns = find_format(style).render(said, TOOLS)
    column = {"tools": msgspec.json.encode(TOOLS).decode()} if style == "raw" else {}
    return {"id": "a", "messages": [turn.row for turn in turns], **column}


def check(student: Student, made: dict[str, Any], style: str = "hermes") -> Checked:
    (found,) = check_lines([msgspec.json.encode(made)], student, Setting(format=style))
    return found


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("style", ["hermes", "xml"])
def test_what_an_assistant_says_is_trained_and_proven(make: Make, name: str, style: str) -> None:
    template, end, before = GOOD[name]
    student = make(template, *MARKS.get(name, ()), eos_token=EOS.get(name, "</s>"))
    assert student.end == end
    assert list(student_fits(student, None)) == []
    made = row(style)
    found = render_row(made, student)
    assert check(student, made, style).faults == ()
    said = [student.decode(found.ids[turn.first : turn.stop]) for turn in found.turns]
    wanted = [message["content"] for message in made["messages"] if message["role"] == "assistant"]
    opened, closed = ("<think>\n", "") if name == "thinks" else ("", "<|/say|>" if name == "always" else "")
    shown = [before + text.removeprefix(opened) + closed + end for text in wanted]
    assert [
        text.rstrip("\n").removesuffix("</s>" if end != "</s>" else "").rstrip("\n") for text in said
    ] == shown
    assert sum(found.mask) == sum(turn.stop - turn.first for turn in found.turns)


@pytest.mark.parametrize("name", GOOD)
def test_a_cut_conversation_has_the_tokens_that_were_counted(make: Make, name: str) -> None:
    student = make(GOOD[name][0], *MARKS.get(name, ()), eos_token=EOS.get(name, "</s>"))
    whole = row()
    (lengths,) = turn_lengths([whole], student)
    assert sum(lengths) == len(render_row(whole, student).ids)
    for end in (3, 5, 7):
        cut = {**whole, "messages": whole["messages"][:end]}
        assert sum(lengths[:end]) == len(render_row(cut, student).ids)


def test_a_dataset_is_built_and_cut_for_such_a_student(make: Make, tmp_path: Path) -> None:
    make(AT_THE_END, *MARKS["at the end"])
    folder = str(tmp_path / "model")
    config = DatasetConfig(
        max_tool_tokens=100_000, min_recall=0, min_ratio=0.1, student=folder, workers=1, max_tokens=4_000
    )
    samples = [sample(number, messages=talk(number + 3, answer="x" * 300)) for number in range(3)]
    whole = build_dataset(samples, tmp_path / "whole", config, [SOURCE])
    limit = whole.tokens.total // 3
    cut = build_dataset(
        samples, tmp_path / "cut", msgspec.structs.replace(config, max_tokens=limit), [SOURCE]
    )
    assert (whole.rows, whole.faults, cut.faults) == (3, {}, {})
    assert cut.rows > 0
    assert cut.tokens.total < whole.tokens.total


def test_masks_of_blocks_are_those_of_transformers(make: Make, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from transformers import PreTrainedTokenizerFast

    student = make(BLOCKS)
    theirs = PreTrainedTokenizerFast(
        tokenizer_file=str(tmp_path / "model" / "tokenizer.json"), bos_token="<s>", eos_token="</s>"
    )
    theirs.chat_template = BLOCKS
    made = row()
    found = render_row(made, student)
    shown = theirs.apply_chat_template(
        made["messages"], return_dict=True, return_assistant_tokens_mask=True, tokenize=True
    )
    assert shown["input_ids"] == found.ids
    assert [bool(number) for number in shown["assistant_masks"]] == found.mask
    assert sum(found.mask) > 0


def test_a_turn_without_reasoning_behind_an_opened_block_is_told(make: Make) -> None:
    student = make(THINKS)
    assert (student.frame.opening, student.frame.opened) == ("<|im_start|>assistant\n", "<think>\n")
    found = check(student, row(messages=(*talk(1), Message(role="assistant", content="Done."))))
    assert found.faults[0].kind is Kind.EMPTY_REASONING


def test_ids_of_calls_are_short_where_a_template_asks(make: Make) -> None:
    student = make(CALLS, *MARKS["calls"])
    made = row("raw", talk(3))
    first = render_row(made, student).text
    calls = [part[:9] for part in first.split("[R]")[1:]]
    assert len(set(calls)) == 3
    assert all(first.count(call) == 2 for call in calls)
    silent = tuple(msgspec.structs.replace(message, reasoning="") for message in talk(2))
    assert check(student, row("raw", silent), "raw").faults == ()


REFUSED = {
    "it says what day it is": (DATE + "{{ today }}" + HEADS, MARKS["heads"], "writes the date"),
    "it asks for a wide date": ("{{ strftime_now('%999999999d') }}" + HEADS, MARKS["heads"], "a form that is not"),
    "it ends no turn": (
        LOOP + "{{ '<|' + m.role + '|>' + m.content }}{% endfor %}{{ '<|assistant|>' if add_generation_prompt }}",
        ("<|system|>", "<|user|>", "<|assistant|>"),
        "no token in common",
    ),
    "it ends the last turn only": (
        LOOP + "{{ '<|' + m.role + '|>' + m.content }}{{ eos_token if loop.last }}{% endfor %}",
        ("<|system|>", "<|user|>", "<|assistant|>"),
        "no token in common",
    ),
    "it takes parts": (
        LOOP + "{{ m.role }}: {% for p in m.content %}{{ p.text }}{% endfor %}</s>{% endfor %}", (), "in parts",
    ),
    "it leaves the system prompt out": (
        LOOP + "{{ m.role + m.content + '</s>' if m.role != 'system' else '' }}{% endfor %}", (), "leaves the system",
    ),
    "it says all twice": (IM.replace("m.content", "m.content + m.content") + PROMPT, (), "twice"),
    "it writes out of all proportion": ("{{ 'x' * 9000000 }}" + IM + PROMPT, (), "writes more than"),
    "it nests more than Python does": ("{% for a in [1] %}" * 40 + "{% endfor %}" * 40, (), "nested"),
    "it is nested without end": ("{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}", (), "recursion"),
    "it needs what is not there": ("{{ missing() }}" + IM + PROMPT, (), "'missing' is undefined"),
    "its end has no name": (IM.replace("'<|im_end|>\n'", "unk_token"), (), "'unk_token' is undefined"),
    "it takes another template in": ("{% include 'x' %}" + IM + PROMPT, (), "no loader"),
    "it loses the user": (
        LOOP + "{{ m.content + '</s>' if m.role == 'assistant' }}{% endfor %}", (), "is missing",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("template", "marks", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_trained_is_refused_with_a_cure(
    make: Make, template: str, marks: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(DatasetError, match=f"(?s){sentence}") as told:
        make(template, *marks)
    assert "--template" in str(told.value)


def test_a_conversation_that_is_written_anew_as_it_goes_on_is_refused(make: Make) -> None:
    system_last = (
        "{% set system = messages[0].content if messages[0].role == 'system' else '' %}" + LOOP +
        "{% if m.role == 'user' %}{{ '[I]' + (system if loop.last else '') + m.content + '[/I]' }}"
        "{% elif m.role == 'assistant' %}{{ m.content + eos_token }}{% endif %}{% endfor %}"
    )  # fmt: skip
    student = make(system_last, "[I]", "[/I]")
    (fault,) = check(student, row()).faults
    assert fault.kind is Kind.UNRENDERABLE
    assert "otherwise once it goes on" in fault.message
    assert "--template" in fault.message


def test_blocks_that_leave_something_out_are_told(make: Make) -> None:
    late = BLOCKS.replace("{% generation %}{{ m.content", "Well: {% generation %}{{ m.content")
    found = check(make(late), row())
    assert any("does not mark 'Well: '" in fault.message for fault in found.faults)


def test_blocks_with_what_others_say_are_told(make: Make) -> None:
    """An answer of a tool in the assistant's block, which structured rows allow."""
    block = (
        LOOP + "{% if m.role == 'assistant' %}<|im_start|>assistant\n{% generation %}{{ m.content }}"
        "{% for c in m.tool_calls or [] %}{{ '\n<tool_call>\n' + c.function | tojson + '\n</tool_call>' }}{% endfor %}"
        "{{ '<|im_end|>\n' }}{% if loop.nextitem and loop.nextitem.role == 'tool' %}{{ loop.nextitem.content }}{% endif %}"
        "{% endgeneration %}{% elif m.role != 'tool' %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
        "{% endif %}{% endfor %}{{ '<|im_start|>assistant\n' if add_generation_prompt else '' }}"
    )
    silent = tuple(
        msgspec.structs.replace(message, reasoning="") for message in talk(2, answer="I am a tool.")
    )
    found = check(make(block), row("raw", silent), "raw")
    assert Kind.MASK in [fault.kind for fault in found.faults]


def test_texts_with_marks_of_the_template_are_told(make: Make) -> None:
    student = make(HEADS, *MARKS["heads"])
    made = row(messages=talk(1, answer="<|h|>assistant<|/h|>\n\nI do."))
    (fault, *_) = check(student, made).faults
    assert fault.kind is Kind.INJECTED_MARK


def test_the_student_is_told_which_token_could_fill_up(make: Make) -> None:
    student = make(HEADS, *MARKS["heads"], "<|right_pad_id|>", pad_token=None)
    (fault,) = student_fits(student, None)
    assert fault.kind is Kind.NO_PAD
    assert "<pad>" in fault.message


def test_a_template_whose_end_is_no_token_is_told_with_the_cure(make: Make, tmp_path: Path) -> None:
    make(HEADS, *MARKS["heads"])
    file = tmp_path / "colons.jinja"
    file.write_text(LOOP + "{{ m.role + ': ' + m.content + ' ###\n' }}{% endfor %}assistant: ")
    student = load_student(str(tmp_path / "model"), template=str(file))
    (fault,) = student_fits(student, None)
    assert (fault.kind, student.end) == (Kind.NO_END, "###")
    assert "its own template" in fault.message


def test_a_folder_with_an_old_tokenizer_says_what_to_do(make: Make, tmp_path: Path) -> None:
    make(HEADS, *MARKS["heads"])
    folder = tmp_path / "model"
    (folder / "tokenizer.json").rename(folder / "tokenizer.model")
    with pytest.raises(UsageError, match="save_pretrained"):
        load_student(str(folder))


def test_a_beginning_by_template_and_tokenizer_is_one(make: Make) -> None:
    """Rows are tokenised without special tokens, as servers do it."""
    student = make(HEADS, *MARKS["heads"])
    ids = render_row(row(), student).ids
    assert ids.count(student.tokenizer.token_to_id("<s>")) == 1


def test_marks_may_take_in_the_white_space_behind_them(make: Make, tmp_path: Path) -> None:
    """As those of Phi-3 do: no token is left of the line break."""
    from tokenizers import AddedToken, Tokenizer

    make(AT_THE_END)
    folder = tmp_path / "model"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_special_tokens([AddedToken(mark, rstrip=True) for mark in MARKS["at the end"]])
    tokenizer.save(str(folder / "tokenizer.json"))
    student, made = load_student(str(folder)), row()
    assert check(student, made).faults == ()
    found = render_row(made, student)
    assert {found.ids[turn.stop - 1] for turn in found.turns} == {student.end_id}
    (lengths,) = turn_lengths([made], student)
    cut = {**made, "messages": made["messages"][:5]}
    assert sum(lengths[:5]) == len(render_row(cut, student).ids)


def test_reasoning_has_the_names_that_templates_read(make: Make) -> None:
    """transformers hands `reasoning_content` over as `thinking` too."""
    student = make(IM.replace("m.content", "(m.thinking or '') + m.content") + PROMPT)
    said = Message(role="assistant", content="Done.", reasoning="So it is.")
    assert "So it is.Done." in render_row(row("raw", (*talk(0), said)), student).text


def test_the_table_of_templates_is_made_again(tmp_path: Path, qwen_tokenizer: str) -> None:
    """By the script that makes it of real ones."""
    script = Path(__file__).parents[3] / "benchmarks" / "templates.py"
    (tmp_path / "plain.jinja").write_text(IM + PROMPT)
    (tmp_path / "dated.jinja").write_text("{{ strftime_now('%Y') }}" + IM + PROMPT)
    page = tmp_path / "page.md"
    page.write_text("Before\n<!-- made by benchmarks/templates.py -->\nold\n<!-- end -->\nafter\n")
    command = [sys.executable, script, tmp_path, "--cache", tmp_path / "cache", "--write", page]
    subprocess.run(
        list(map(str, command)), check=True, timeout=120, env=os.environ | {"SERA_TOKENIZER": qwen_tokenizer}
    )
    lines = page.read_text().split("\n")
    assert (lines[0], lines[-2], "old" in lines) == ("Before", "after", False)
    (plain,) = [line for line in lines if line.startswith("| plain |")]
    assert plain.startswith("| plain | given | stand-in | `<\\|im_end\\|>` | yes | yes | no |")
    assert any(line.startswith("| dated |") and "writes the date" in line for line in lines)


def test_a_template_that_refuses_a_system_prompt_is_one_for_talks_without(make: Make) -> None:
    refuses = "{% if messages[0].role == 'system' %}{{ raise_exception('no system prompts') }}{% endif %}"
    student = make(refuses + HEADS, *MARKS["heads"], eos_token="<|eot|>")
    made = row()
    assert [fault.kind for fault in check(student, made).faults] == [Kind.UNRENDERABLE]
    messages = (Message(role="user", content="Mend it."), Message(role="assistant", content="Done."))
    found = render_row(
        {"id": "b", "messages": [dict(turn.row) for turn in find_format("hermes").render(messages, ())]},
        student,
    )
    assert [student.decode(found.ids[turn.first : turn.stop]) for turn in found.turns] == ["Done.<|eot|>"]


def test_marks_around_calls_are_known_where_arguments_are_text(make: Make) -> None:
    """Or a text with such a mark would pass for a call."""
    calls = "{%- for c in m.tool_calls or [] -%}{{ '[C]' + c.function.arguments + '[/C]' }}{%- endfor -%}"
    template = HEADS.replace("{%- endfor -%}", calls + "{%- endfor -%}")
    student = make(template, *MARKS["heads"], "[C]", "[/C]", eos_token="<|eot|>")
    assert not student.template.takes_objects
    assert {"[C]", "[/C]"} <= set(student.marks)
