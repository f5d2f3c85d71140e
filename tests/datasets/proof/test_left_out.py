"""What one bad row may do to a build: it is left out under its reason, and the others are written."""

import json
import shutil
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_datasets import rows
from made_samples import SOURCE, call, sample, talk

from sera.cli import cli
from sera.datasets import DatasetConfig, Manifest, Sample, build_dataset
from sera.datasets.proof import Kind, StudentNames, check_dataset
from sera.datasets.rendering import render_row
from sera.datasets.selection.reasons import Reason
from sera.errors import DatasetError
from sera.records import Message, ToolCall
from sera.visible import markdown

STYLES = ("hermes", "xml", "raw")
OF_THE_WHOLE = {"checksum", "row_count", "other_tokenizer", "foreign_row", "no_end", "no_pad", "pad_is_end"}


def build(
    samples: Sequence[Sample], out: Path, style: str = "hermes", force: bool = False, **more: Any
) -> Manifest:
    config = DatasetConfig(
        format=style, min_recall=0, max_tool_tokens=10**6, workers=1, **{"min_ratio": 0.1} | more
    )
    return build_dataset(samples, out, config, [SOURCE], force)


def said(*turns: Message) -> tuple[Message, ...]:
    """A conversation with these turns in its middle."""
    before, after = talk(1), talk(2)
    return (*before, *turns, *after[2:])


def student_with(tmp_path: Path, folder: str, template: str, **tokenizer: Any) -> str:
    """A copy of a student's folder with another template, and another tokenizer."""
    copied = Path(shutil.copytree(folder, tmp_path / "student"))
    config = json.loads((copied / "tokenizer_config.json").read_text())
    (copied / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": template}))
    if tokenizer:
        read = json.loads((copied / "tokenizer.json").read_text())
        (copied / "tokenizer.json").write_text(json.dumps(read | tokenizer))
    return str(copied)


# ── false alarms ──────────────────────────────────────────────────────────────────────────────────

HARMLESS = {
    "thinking ends in an argument": said(
        Message(
            role="assistant",
            reasoning="Where is the tag?",
            tool_calls=(call(arguments='{"command": "grep -n \\"</think>\\" chat.py"}'),),
        ),
        Message(role="tool", content="3: </think>", tool_call_id="call_0"),
    ),
    "a call begins in an argument": (
        *talk(1),
        Message(role="assistant", tool_calls=(call(arguments='{"command": "echo <tool_call><tool_call>"}'),)),
    ),
    "another system message": said(Message(role="system", content="The tests are in spec/.")),
    "marks of other families": said(
        Message(role="user", content="<|start_header_id|>assistant<|end_header_id|>\n\n<|eot_id|>[INST]"),
        Message(
            role="user", content="<start_of_turn>model\n<end_of_turn><|START_OF_TURN_TOKEN|><|assistant|>"
        ),
    ),
    "our own marks": said(
        Message(role="user", content="\ufdd0 Sera7Word \ufdd1 Sera7Wordd Sera7Probe"),
        Message(role="assistant", content="Sera7Word \ufdd1"),
    ),
    "a whole answer quoted": said(Message(role="user", content="<tool_response>\nok\n</tool_response>")),
    "nothing said": said(Message(role="assistant", content=""), Message(role="user", content="")),
    "characters of other forms": said(
        Message(role="user", content="e\u0301 \u1112\u1161\u11ab \uf900 \u212b \u0338\x00 🏳\ufe0f\u200d🌈"),
        Message(role="assistant", content="\u0301a\u030a", reasoning="\u1112\u1161"),
    ),
}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("messages", HARMLESS.values(), ids=HARMLESS)
def test_what_looks_odd_and_is_not_becomes_a_row(
    tmp_path: Path, qwen_tokenizer: str, style: str, messages: tuple[Message, ...]
) -> None:
    manifest = build(
        [sample(0), sample(1, messages=messages)], tmp_path / "d", style, tokenizer=qwen_tokenizer
    )
    assert manifest.rows == 2
    assert manifest.cut_rows == 0
    row = next(row for row in rows(tmp_path / "d" / "train.jsonl") if row["id"] == "t2-1")
    assert json.dumps(row).count("# Tools") == (style != "raw")
    assert check_dataset(tmp_path / "d", StudentNames(tokenizer=qwen_tokenizer), workers=1).ok


def test_characters_that_the_tokenizer_composes_are_told(tmp_path: Path, qwen_tokenizer: str) -> None:
    messages = talk(2, answer=unicodedata.normalize("NFD", "naïve Ångström"))
    manifest = build([sample(0), sample(1, messages=messages)], tmp_path / "d", tokenizer=qwen_tokenizer)
    assert manifest.rows == 2
    assert manifest.altered == 1
    assert r"'ai\u0308ve" in manifest.alteration
    assert markdown(manifest.alteration) in (tmp_path / "d" / "README.md").read_text()


@pytest.mark.parametrize(
    "normalizer",
    [
        {"type": "NFD"},
        {"type": "NFKC"},
        {"type": "Lowercase"},
        {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}]},
    ],
    ids=lambda normalizer: str(normalizer["type"]),
)
def test_any_normaliser(tmp_path: Path, qwen_folder: str, normalizer: dict[str, Any]) -> None:
    student = student_with(tmp_path, qwen_folder, "", normalizer=normalizer)
    messages = talk(2, answer="ÉCOLE e\u0301 ﬁ ①")
    manifest = build([sample(0, messages=messages)], tmp_path / "d", student=student, template="chatml")
    assert manifest.rows == 1
    assert manifest.altered == 1


def test_a_space_that_the_tokenizer_puts_before_texts(tmp_path: Path, qwen_folder: str) -> None:
    student = student_with(tmp_path, qwen_folder, "", normalizer={"type": "Prepend", "prepend": " "})
    manifest = build([sample(0)], tmp_path / "d", student=student, template="chatml")
    assert manifest.rows == 1
    assert manifest.altered == 1


# ── one bad row ───────────────────────────────────────────────────────────────────────────────────


def test_letters_without_tokens_are_lost(tmp_path: Path, qwen_folder: str) -> None:
    """Without its bytes a vocabulary has no way to say some letters."""
    read = json.loads((Path(qwen_folder) / "tokenizer.json").read_text())
    model = read["model"]
    # As a BPE of bytes spells 0x82, the second byte of the letter below.
    model["merges"] = [pair for pair in model["merges"] if "Ĥ" not in "".join(pair)]
    model["vocab"] = {word: number for word, number in model["vocab"].items() if "Ĥ" not in word}
    student = student_with(tmp_path, qwen_folder, "", model=model)
    lost = sample(1, messages=talk(2, answer="\u0402"))
    manifest = build([sample(0), lost], tmp_path / "d", student=student, template="chatml")
    assert manifest.counts["t2"].rejected == {"text_lost": 1}


def test_a_mark_that_the_tokenizer_makes_of_a_text(tmp_path: Path, qwen_folder: str) -> None:
    read = json.loads((Path(qwen_folder) / "tokenizer.json").read_text())
    added = [token | {"normalized": token["content"] == "<|im_end|>"} for token in read["added_tokens"]]
    student = student_with(tmp_path, qwen_folder, "", added_tokens=added, normalizer={"type": "NFKC"})
    wide = sample(1, messages=talk(2, answer="<\uff5cim_end\uff5c>"))
    manifest = build([sample(0), wide], tmp_path / "d", student=student, template="chatml")
    assert manifest.counts["t2"].rejected == {"injected_mark": 1}


ITEMS = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'system' and not loop.first %}"
    "{{ raise_exception('The system message must be the first') }}{% endif %}"
    "{% if m.reasoning_content %}{{ '<think>\n' + m.reasoning_content + '\n</think>\n\n' }}{% endif %}"
    "{{ m.content }}{% for c in m.tool_calls or [] %}{{ '\n' if m.content or not loop.first else '' }}"
    "{{ '<tool_call>\n<function=' + c.function.name + '>\n' }}"
    "{% for k, v in c.function.arguments | items %}"
    "{{ '<parameter=' + k + '>\n' + (v if v is string else v | tojson) + '\n</parameter>\n' }}{% endfor %}"
    "{{ '</function>\n</tool_call>' }}{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""Takes arguments as objects, writes them as XML and refuses a late system message."""


def test_raw_rows_of_a_template_that_takes_objects(tmp_path: Path, qwen_folder: str) -> None:
    student = student_with(tmp_path, qwen_folder, ITEMS)
    late = sample(1, messages=said(Message(role="system", content="Be quick.")))
    closing = ToolCall(id="call_0", name="bash", arguments='{"command": "echo \\"</parameter>\\""}')
    broken = sample(2, messages=talk(2, last=closing))
    manifest = build([sample(0), late, broken], tmp_path / "d", "raw", student=student)
    assert manifest.counts["t2"].rejected == {"unrenderable": 1, "call_differs": 1}
    told = {line["id"]: line["detail"] for line in rows(tmp_path / "d" / "rejected.jsonl")}
    assert "The system message must be the first" in told["t2-1"]
    assert "vLLM reads" in told["t2-2"]
    (row,) = rows(tmp_path / "d" / "train.jsonl")
    assert isinstance(row["messages"][2]["tool_calls"][0]["function"]["arguments"], str)
    assert "| t2 | call_differs | 1 |" in (tmp_path / "d" / "README.md").read_text()
    assert check_dataset(tmp_path / "d", StudentNames(student=student), workers=1).ok


def test_a_call_in_a_spelling_that_is_not_modelled(tmp_path: Path, qwen_folder: str) -> None:
    """What can be shown of it is that name and values are there."""
    head, tail = ITEMS.split("{% for c in", 1)
    written = "{{ '[' + c.function.name + '|' + c.function.arguments['command'][:9] + ']' }}{% endfor %}"
    template = f"{head}{{% for c in m.tool_calls or [] %}}{written}{tail.split('{% endfor %}', 2)[2]}"
    student = student_with(tmp_path, qwen_folder, template)
    cut = sample(1, messages=talk(2, last=call(arguments='{"command": "a longer command"}')))
    manifest = build([sample(0), cut], tmp_path / "d", "raw", student=student)
    assert manifest.counts["t2"].rejected == {"call_lost": 1}


def test_the_samples_are_dealt_again(tmp_path: Path, qwen_folder: str) -> None:
    """A recipe gets what it asks for of what can be proven, and `--force` takes the rest too."""
    student = student_with(tmp_path, qwen_folder, ITEMS)
    closing = ToolCall(id="call_0", name="bash", arguments='{"command": "a\\n</parameter>"}')
    samples = [sample(n, messages=talk(2, last=closing if n < 4 else None)) for n in range(8)]
    given = {"student": student, "format": "raw", "max_tool_tokens": 10_000, "workers": 1}
    for seed in range(3):
        config = DatasetConfig(**given, recipe="4 T2", seed=seed)
        manifest = build_dataset(samples, tmp_path / f"d{seed}", config, [SOURCE])
        assert {row["id"] for row in rows(tmp_path / f"d{seed}" / "train.jsonl")} == {
            f"t2-{n}" for n in range(4, 8)
        }
        assert sum(manifest.counts["t2"].rejected.values()) == 4
    with pytest.raises(DatasetError, match=r"`5 T2` gets 4.*4 call_differs.*--force"):
        build_dataset(samples, tmp_path / "e", DatasetConfig(**given, recipe="5 T2"), [SOURCE])
    manifest = build_dataset(samples, tmp_path / "f", DatasetConfig(**given), [SOURCE], force=True)
    assert manifest.rows == 8
    assert manifest.faults == {"call_differs": 4}


def test_a_template_that_fails_a_plain_conversation_stops_the_build(tmp_path: Path, qwen_folder: str) -> None:
    """It drops calls, so that the one row without any would be all that is left."""
    template = ITEMS.replace("m.tool_calls or []", "[]")
    student = student_with(tmp_path, qwen_folder, template)
    silent = sample(1, messages=(*talk(0), Message(role="assistant", content="No.", reasoning="Hm.")))
    with pytest.raises(DatasetError, match=r"call_lost.*is not written"):
        build([sample(0), silent], tmp_path / "d", "raw", student=student)


@pytest.mark.parametrize("style", ["hermes", "xml"])
def test_a_conversation_ends_before_what_cannot_be_served(
    tmp_path: Path, qwen_tokenizer: str, style: str
) -> None:
    """A text that servers read as a call, in the middle of a long conversation."""
    inner = {"hermes": '{"name": "bash", "arguments": {}}', "xml": "<function=bash>\n</function>"}[style]
    fake = Message(role="assistant", content=f"<tool_call>\n{inner}\n</tool_call>.")
    long = (*talk(5), fake, *talk(1)[2:])
    given = [sample(0), sample(1, messages=long)]
    build(given, tmp_path / "d", style, tokenizer=qwen_tokenizer)
    row = next(row for row in rows(tmp_path / "d" / "train.jsonl") if row["id"] == "t2-1")
    assert len(row["messages"]) == 11
    assert 0.1 < row["ratio"] < 1
    manifest = build(given, tmp_path / "d", style, tokenizer=qwen_tokenizer, min_ratio=0.9)
    assert manifest.counts["t2"].rejected == {"unservable": 1}
    assert rows(tmp_path / "d" / "rejected.jsonl")[0]["detail"].startswith("message 12 is read otherwise")


def test_a_closing_tag_in_xml_costs_what_comes_after_it(tmp_path: Path, qwen_tokenizer: str) -> None:
    closing = ToolCall(id="call_0", name="bash", arguments='{"command": "sed s,</parameter>,, a.xml"}')
    given = [sample(0), sample(1, messages=(*talk(4, last=closing), *talk(1)[2:]))]
    build(given, tmp_path / "d", "xml", tokenizer=qwen_tokenizer)
    row = next(row for row in rows(tmp_path / "d" / "train.jsonl") if row["id"] == "t2-1")
    assert row["messages"][-1]["role"] == "assistant"
    assert len(row["messages"]) == 7
    assert build(given, tmp_path / "h", "hermes", tokenizer=qwen_tokenizer).cut_rows == 0


def test_a_cut_row_is_counted_as_its_template_ends_it(tmp_path: Path, qwen_folder: str) -> None:
    """Here a last turn thinks longer than the same turn in the middle."""
    template = ITEMS.replace("'\n</think>", "('' if not loop.last else ' So be it.') + '\n</think>")
    student = student_with(tmp_path, qwen_folder, template)
    given = [sample(0), sample(1, messages=talk(9))]
    whole = build(given, tmp_path / "d", "raw", student=student).tokens.max
    manifest = build(given, tmp_path / "e", "raw", student=student, max_tokens=whole - 1, force=True)
    cut = next(row for row in rows(tmp_path / "e" / "train.jsonl") if row["ratio"] < 1)
    assert cut["tokens"] == len(render_row(cut, StudentNames(student=student).load()).ids)
    assert "count_differs" not in manifest.faults


# ── leaving out by hand ───────────────────────────────────────────────────────────────────────────


def test_samples_are_excluded_by_id(tmp_path: Path, byte_tokenizer: str) -> None:
    given = [sample(n) for n in range(3)]
    manifest = build(given, tmp_path / "d", tokenizer=byte_tokenizer, exclude=("t2-1",))
    assert manifest.counts["t2"].rejected == {"excluded": 1}
    assert {row["id"] for row in rows(tmp_path / "d" / "train.jsonl")} == {"t2-0", "t2-2"}
    assert rows(tmp_path / "d" / "rejected.jsonl")[0]["reason"] == "excluded"
    with pytest.raises(DatasetError, match=r"no sample t2-9 to exclude.*rejected\.jsonl"):
        build(given, tmp_path / "d", tokenizer=byte_tokenizer, exclude=("t2-1", "t2-9"))


def test_the_command_excludes_and_tells(tmp_path: Path, qwen_tokenizer: str) -> None:
    talked = [{"role": "system", "content": "You work."}, {"role": "user", "content": "Mend cafe\u0301.py."}]
    talked.append({"role": "assistant", "content": "It is whole."})
    texts = [
        json.dumps({"messages": [*talked, {"role": "user", "content": str(n)}, talked[-1]]}) for n in (1, 2)
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(texts))
    run = CliRunner()
    taken = ["dataset", "import", str(tmp_path / "log.jsonl"), "--from", "openai", "--submitted"]
    made = run.invoke(cli, [*taken, "--out", str(tmp_path / "i")])
    assert made.exit_code == 0, made.output
    options = ["dataset", "build", str(tmp_path / "i"), "--out", str(tmp_path / "d"), "--min-recall", "0"]
    options += ["--tokenizer", qwen_tokenizer, "--workers", "1"]
    told = run.invoke(cli, options)
    assert told.exit_code == 0, told.output
    assert "changes the text of 2 rows" in told.output
    first, second = (row["id"] for row in rows(tmp_path / "d" / "train.jsonl"))
    told = run.invoke(cli, [*options, "--exclude", first])
    assert "excluded" in told.output
    assert [row["id"] for row in rows(tmp_path / "d" / "train.jsonl")] == [second]


# ── any conversation ──────────────────────────────────────────────────────────────────────────────

PIECES = [
    "word ", "\n\n", "", "</think>", "<think>", "<think></think>", "<tool_call>", "</tool_call>",
    '<tool_call>\n{"name": "bash", "arguments": {}}\n</tool_call>', "<tool_response>\n", "\n</tool_response>",
    "\n</parameter>\n", "</function>", "<function=bash>", "<parameter=x>", "<|im_end|>", "<|im_start|>assistant\n",
    "<|endoftext|>", "<|eot_id|>", "<end_of_turn>", "[/INST]", "\n<tools>\n", "</tools>", "\ufdd0", "Sera7Word",
    "{{ x }}", "{% raw %}", "null", "e\u0301", "\u0338", "\u1112\u1161\u11ab", "\uf900", "\u212b", "\x00", "\x85",
    "\u2028", "\ufeff", "\u2581", "<unk>", "<0x0A>", "\uffff", "🏳\ufe0f\u200d🌈", "\\ud800",
]  # fmt: skip
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=4).map("".join)
odd = st.sampled_from(
    ["{bad", '"ls"', "[1]", '{"command": "\\ud800"}', '{"command": 1e400}', '{"command": ' + "9" * 5000 + "}"]
    + ['{"command": ' + "[" * depth + "]" * depth + "}" for depth in (300, 2000)]
    + ['{"name": "bash", "arguments": {"command": "ls"}}', '{"command": null}']
)
arguments = texts.map(lambda text: json.dumps({"command": text})) | odd
calls = st.lists(st.tuples(st.sampled_from(["bash", "bash", "submit"]) | texts, arguments), max_size=2)
turns = st.lists(
    st.tuples(st.sampled_from(["assistant"] * 4 + ["user", "system"]), texts, texts, calls), max_size=4
)


def conversation(said: list[tuple[str, str, str, list[tuple[str, str]]]]) -> tuple[Message, ...]:
    messages = list(talk(1))
    for role, content, reasoning, made in said:
        if role != "assistant":
            messages.append(Message(role=role, content=content))
            continue
        used = tuple(
            ToolCall(id=f"call_{n}", name=name, arguments=text) for n, (name, text) in enumerate(made)
        )
        messages.append(Message(role=role, content=content, reasoning=reasoning, tool_calls=used))
        messages += [Message(role="tool", content=reasoning[::-1], tool_call_id=call.id) for call in used]
    return tuple(messages)


@pytest.mark.parametrize("family", ["qwen3", "smollm2"])
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(turns, min_size=1, max_size=4), st.sampled_from(STYLES))
def test_any_conversation_is_proven_or_left_out_with_a_reason(
    tmp_path: Path,
    qwen_tokenizer: str,
    smollm2_folder: str,
    family: str,
    said: list[list[tuple[str, str, str, list[tuple[str, str]]]]],
    style: str,
) -> None:
    tokenizer = qwen_tokenizer if family == "qwen3" else f"{smollm2_folder}/tokenizer.json"
    samples = [sample(0), *(sample(n, messages=conversation(one)) for n, one in enumerate(said, 1))]
    manifest = build(samples, tmp_path / "d", style, tokenizer=tokenizer)
    written = {row["id"] for row in rows(tmp_path / "d" / "train.jsonl")}
    left_out = {line["id"]: line["reason"] for line in rows(tmp_path / "d" / "rejected.jsonl")}
    assert "t2-0" in written
    assert written | left_out.keys() == {one.id for one in samples}
    assert set(left_out.values()) <= {*Reason, *Kind} - OF_THE_WHOLE
    assert len(left_out) == sum(manifest.counts["t2"].rejected.values())
    assert check_dataset(tmp_path / "d", StudentNames(tokenizer=tokenizer), workers=1).ok
