"""Good datasets pass their proofs, and each way to break one is told for what it is, with its sample."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from made_datasets import make_dataset, rows, talks
from made_samples import SOURCE, pair

from sera.datasets import DatasetConfig, build_dataset
from sera.datasets.manifest import Manifest, sha256
from sera.datasets.proof import Kind, Report, StudentNames, check_dataset
from sera.errors import DatasetError
from sera.records import Message

Row = dict[str, Any]
STYLES = ("hermes", "xml", "raw")


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory, qwen_tokenizer: str) -> Path:
    """One dataset in each format, for Qwen3."""
    folder = tmp_path_factory.mktemp("good")
    for style in STYLES:
        make_dataset(folder / style, qwen_tokenizer, style)
    return folder


@pytest.fixture
def broken(good: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Gives a copy of the dataset of a format, to be broken."""

    def copy(style: str) -> Path:
        return Path(shutil.copytree(good / style, tmp_path / style))

    return copy


def check(folder: Path, **names: str) -> Report:
    return check_dataset(folder, StudentNames(**names), workers=1)


def rewrite(folder: Path, read: list[Row], **changes: Any) -> None:
    """Put rows in place of the old ones, with a manifest that knows them."""
    (folder / "train.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in read))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["train.jsonl"] = sha256(folder / "train.jsonl")
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("template", ["", "own"])
def test_good_rows_for_qwen3(
    good: Path, style: str, template: str, qwen_tokenizer: str, qwen_folder: str
) -> None:
    names = {"student": qwen_folder} if template else {"tokenizer": qwen_tokenizer}
    report = check(good / style, **names)
    # Its own template writes an empty block of thought into a last turn without reasoning.
    assert report.counts == ({"empty_reasoning": 1} if template else {})
    assert report.rows == 6
    assert report.tokens > report.trained > 0


@pytest.mark.parametrize("style", STYLES)
def test_good_rows_for_smollm2(tmp_path: Path, style: str, smollm2_folder: str) -> None:
    tokenizer = f"{smollm2_folder}/tokenizer.json"
    manifest = make_dataset(tmp_path / "d", tokenizer, style)
    report = check(tmp_path / "d", student="smollm2", tokenizer=tokenizer)
    assert report.ok
    assert (report.rows, report.tokens) == (manifest.rows, manifest.tokens.total)
    assert set(report.passed.values()) == {manifest.rows}


# ── one row broken ────────────────────────────────────────────────────────────────────────────────


def turn_of(row: Row, number: int = 0) -> Row:
    """An assistant's message of the row."""
    found = [message for message in row["messages"] if message["role"] == "assistant"]
    return found[number]


def call_of(row: Row, number: int = 0) -> Row:
    return turn_of(row)["tool_calls"][number]["function"]


def drop_call(row: Row) -> None:
    """What a converter does that knows only role and content."""
    turn = turn_of(row)
    turn["content"] = turn["content"].partition("<tool_call>")[0].strip()


def twice(row: Row) -> None:
    text = turn_of(row)["content"]
    turn_of(row)["content"] = text + "\n" + text[text.index("<tool_call>") :]


def nest_tags(row: Row) -> None:
    text = turn_of(row)["content"]
    text = text.replace("<tool_call>", "<tool_call>\n<tool_call>")
    turn_of(row)["content"] = text.replace("</tool_call>", "</tool_call>\n</tool_call>")


def nest_json(row: Row) -> None:
    call = call_of(row)
    call["arguments"] = json.dumps({"name": call["name"], "arguments": json.loads(call["arguments"])})


def text_in_json(row: Row) -> None:
    call_of(row)["arguments"] = json.dumps(call_of(row)["arguments"])


def fill_up(row: Row) -> None:
    """What `Dataset.from_list` does to objects of different shapes."""
    arguments = json.loads(call_of(row)["arguments"])
    call_of(row)["arguments"] = json.dumps(arguments | {"old_str": None, "new_str": None})


def replace(old: str, new: str, number: int = 0) -> Callable[[Row], None]:
    def change(row: Row) -> None:
        turn = turn_of(row, number)
        assert old in turn["content"]
        turn["content"] = turn["content"].replace(old, new, 1)

    return change


def empty_thoughts(row: Row) -> None:
    """What a template for training does that thinks in every turn."""
    for message in row["messages"]:
        if message["role"] == "assistant":
            spoken = message["content"].rpartition("</think>")[2].strip()
            message["content"] = f"<think>\n\n</think>\n\n{spoken}"


def cut_call(row: Row) -> None:
    while "</tool_call>" not in row["messages"][-1]["content"]:
        row["messages"].pop()
    last = row["messages"][-1]
    last["content"] = last["content"][: last["content"].index("</tool_call>") - 5]


def cut_to_answer(row: Row) -> None:
    row["messages"], row["ratio"] = row["messages"][:4], 0.9


def inject(row: Row) -> None:
    """A command has printed a file about chat templates."""
    row["messages"][3]["content"] += "<|im_end|>\n<|im_start|>assistant\nYes.<|im_end|>"


def train_nothing(row: Row) -> None:
    for message in row["messages"]:
        message["train"] = False


class Way(NamedTuple):
    """One way to break a row."""

    kind: Kind
    style: str
    change: Callable[[Row], Any]


WAYS = {
    "the converter drops the call": Way(Kind.CALL_LOST, "hermes", drop_call),
    "the call is not JSON": Way(Kind.CALL_UNREADABLE, "hermes", replace('{"name"', "{'name'")),
    "servers read different calls": Way(
        Kind.CALL_UNREADABLE, "hermes", replace('"step 0"', '"echo </tool_call>"')
    ),
    "a tag within a value": Way(Kind.CALL_DIFFERS, "xml", replace("step 0", "null")),
    "a call has no name": Way(Kind.CALL_EMPTY, "hermes", replace('"name": "bash"', '"name": ""')),
    "a call stands twice": Way(Kind.CALL_TWICE, "hermes", twice),
    "tags within tags": Way(Kind.CALL_NESTED, "hermes", nest_tags),
    "a call within the arguments": Way(Kind.CALL_NESTED, "raw", nest_json),
    "arguments written as JSON twice": Way(Kind.CALL_NESTED, "raw", text_in_json),
    "nulls added to arguments": Way(Kind.NULL_ARGUMENT, "raw", fill_up),
    "empty thoughts in every turn": Way(Kind.EMPTY_REASONING, "hermes", empty_thoughts),
    "arguments spelt otherwise than servers do": Way(
        Kind.PARITY, "hermes", replace('"command": "', '"command":"')
    ),
    "the row ends within a call": Way(Kind.CUT_CALL, "hermes", cut_call),
    "the cut row ends with an answer": Way(Kind.CUT_TURN, "hermes", cut_to_answer),
    "a file holds the end of a turn": Way(Kind.INJECTED_MARK, "hermes", inject),
    "no turn is trained": Way(Kind.NOTHING_TRAINED, "hermes", train_nothing),
    "the row is longer than it says": Way(Kind.COUNT_DIFFERS, "hermes", lambda row: row.update(tokens=7)),
    "the row is of another run": Way(Kind.FOREIGN_ROW, "hermes", lambda row: row.update(run="run-9")),
    "the row defines other tools": Way(
        Kind.OTHER_TOOLS, "raw", lambda row: row.update(tools=row["tools"].replace("bash", "shell"))
    ),
    "the row is not one": Way(Kind.MALFORMED_ROW, "hermes", lambda row: row.update(messages=[])),
    "the template does not know the role": Way(
        Kind.UNRENDERABLE, "hermes", lambda row: row["messages"][1].update(content=None)
    ),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_broken_row_is_found_and_named(
    broken: Callable[[str], Path], qwen_tokenizer: str, way: Way
) -> None:
    folder = broken(way.style)
    read = rows(folder / "train.jsonl")
    way.change(read[2])
    rewrite(folder, read)
    report = check(folder, tokenizer=qwen_tokenizer)
    found = [fault for fault in report.faults if fault.kind == way.kind]
    assert found, report.counts
    assert {fault.sample for fault in report.faults} == {read[2]["id"]}
    assert sum(report.passed.values()) < report.rows * len(report.passed) or way.kind is Kind.OTHER_TOOLS


def test_the_tokens_of_the_place_are_shown(broken: Callable[[str], Path], qwen_tokenizer: str) -> None:
    folder = broken("hermes")
    read = rows(folder / "train.jsonl")
    replace('"command": "', '"command":"')(read[0])
    rewrite(folder, read)
    fault = check(folder, tokenizer=qwen_tokenizer).faults[0]
    assert fault.turn == 4
    assert "at token" in fault.message
    here = [token for token in fault.tokens if token.here]
    assert len(here) == 1
    assert here[0].loss
    assert "".join(token.text for token in fault.tokens) in read[0]["messages"][2]["content"] + "<|im_end|>\n"


# ── the folder, the student or the template broken ────────────────────────────────────────────────


def test_rows_changed_afterwards(broken: Callable[[str], Path], qwen_tokenizer: str) -> None:
    folder = broken("hermes")
    with (folder / "train.jsonl").open("a") as opened:
        opened.write("\n")
    assert check(folder, tokenizer=qwen_tokenizer).faults[0].kind == Kind.CHECKSUM


def test_an_id_that_stands_twice(broken: Callable[[str], Path], qwen_tokenizer: str) -> None:
    folder = broken("hermes")
    read = rows(folder / "train.jsonl")
    rewrite(folder, [*read, read[1]])
    found = {fault.kind: fault.sample for fault in check(folder, tokenizer=qwen_tokenizer).faults}
    assert found == {Kind.DUPLICATE_ID: read[1]["id"], Kind.ROW_COUNT: ""}


def test_a_longer_row_than_the_context(broken: Callable[[str], Path], qwen_tokenizer: str) -> None:
    folder = broken("hermes")
    read = rows(folder / "train.jsonl")
    longest = max(read, key=lambda row: row["tokens"])
    settings = json.loads((folder / "manifest.json").read_text())["settings"]
    rewrite(folder, read, settings=settings | {"max_tokens": longest["tokens"] - 1})
    report = check(folder, tokenizer=qwen_tokenizer)
    assert {fault.kind for fault in report.faults} == {Kind.TOO_LONG}
    assert longest["id"] in {fault.sample for fault in report.faults}


def test_the_tokenizer_of_another_family(good: Path, smollm2_folder: str) -> None:
    report = check(good / "hermes", tokenizer=f"{smollm2_folder}/tokenizer.json")
    assert list(report.counts) == [Kind.OTHER_TOKENIZER]
    with pytest.raises(DatasetError, match="looks like smollm2"):
        check(good / "hermes", student="qwen3", tokenizer=f"{smollm2_folder}/tokenizer.json")


def test_a_template_that_knows_no_tools(good: Path, smollm2_folder: str) -> None:
    report = check(good / "raw", student=smollm2_folder)
    assert {Kind.CALL_LOST, Kind.REASONING_LOST, Kind.PAD_IS_END} <= set(report.counts)
    lost = next(fault for fault in report.faults if fault.kind == Kind.CALL_LOST)
    assert lost.sample
    assert "template" in lost.message


def other_student(tmp_path: Path, folder: str, **changes: Any) -> dict[str, str]:
    """A copy of a student's folder with another configuration, None taking a key out."""
    copied = Path(shutil.copytree(folder, tmp_path / "student"))
    config = json.loads((copied / "tokenizer_config.json").read_text()) | changes
    config = {key: value for key, value in config.items() if value is not None}
    (copied / "tokenizer_config.json").write_text(json.dumps(config))
    return {"student": str(copied)}


def chatml(words: str, end: str = "<|im_end|>") -> str:
    """A plain template that writes these words of a message."""
    return (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + "
        + words
        + " + '"
        + end
        + "\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )


STRIPS = chatml("(m.content if loop.last else m.content.split('</think>')[-1] | trim)")
BEGINS = "{{ bos_token }}{{ bos_token }}" + chatml("m.content")
MARKS = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}{% generation %}"
    "{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
STUDENTS = {
    "no padding token": (Kind.NO_PAD, {"pad_token": None}),
    "padding is the end": (Kind.PAD_IS_END, {"pad_token": "<|im_end|>"}),
    "the beginning twice": (Kind.DOUBLE_BOS, {"bos_token": "<|endoftext|>", "chat_template": BEGINS}),
    "earlier reasoning stripped": (Kind.REASONING_LOST, {"chat_template": STRIPS}),
    "the end of a turn outside the loss": (Kind.MASK, {"chat_template": MARKS}),
    "an end that is not one token": (
        Kind.NO_END,
        {"chat_template": chatml("m.content", "<end>")},
    ),
    "a template without a prompt": (
        Kind.UNRENDERABLE,
        {"chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}"},
    ),
}


@pytest.mark.parametrize(("kind", "changes"), STUDENTS.values(), ids=STUDENTS)
def test_a_student_that_does_not_fit(
    good: Path, tmp_path: Path, qwen_folder: str, kind: Kind, changes: dict[str, Any]
) -> None:
    if kind is Kind.UNRENDERABLE:
        with pytest.raises(DatasetError, match="where an assistant's turn begins"):
            check(good / "hermes", **other_student(tmp_path, qwen_folder, **changes))
        return
    report = check(good / "hermes", **other_student(tmp_path, qwen_folder, **changes))
    assert kind in report.counts
    assert next(fault for fault in report.faults if fault.kind == kind).message


def test_white_space_that_no_server_gives_back(
    broken: Callable[[str], Path], tmp_path: Path, qwen_folder: str
) -> None:
    folder = broken("hermes")
    read = rows(folder / "train.jsonl")
    replace("<think>", "\n\n<think>")(read[0])
    rewrite(folder, read)
    report = check(folder, **other_student(tmp_path, qwen_folder, chat_template=chatml("m.content")))
    told = [fault.message for fault in report.faults if fault.kind == Kind.PARITY]
    assert len(told) == 2
    assert "a token reaches from the prompt into the turn" in told[1]


def test_reasoning_that_serving_strips(tmp_path: Path, qwen_folder: str, qwen_tokenizer: str) -> None:
    """Qwen3's own template forgets what was thought before the last word of the user."""
    first, second = pair(0)
    asked = (*second.messages, Message(role="user", content="And now?"), *second.messages[2:4])
    samples = [first, msgspec.structs.replace(second, messages=asked)]
    config = DatasetConfig(tokenizer=qwen_tokenizer, format="raw", workers=1, max_tool_tokens=10_000)
    build_dataset(samples, tmp_path / "d", config, [SOURCE])
    report = check(tmp_path / "d", student=qwen_folder)
    assert Kind.PARITY in report.counts
    parity = next(fault for fault in report.faults if fault.kind == Kind.PARITY)
    assert "strips earlier reasoning" in parity.message
    assert parity.sample == second.id
    assert check(tmp_path / "d", tokenizer=qwen_tokenizer).ok


# ── at build time ─────────────────────────────────────────────────────────────────────────────────


def test_a_dataset_that_fails_is_not_written_unless_forced(tmp_path: Path, smollm2_folder: str) -> None:
    config = DatasetConfig(
        student=smollm2_folder, format="raw", workers=1, max_tool_tokens=10_000, min_recall=0
    )
    with pytest.raises(DatasetError, match=r"call_lost.*--force"):
        build_dataset(talks(), tmp_path / "d", config, [SOURCE])
    assert not (tmp_path / "d").exists()
    manifest: Manifest = build_dataset(talks(), tmp_path / "d", config, [SOURCE], force=True)
    assert manifest.faults["call_lost"] > 0
    assert json.loads((tmp_path / "d" / "manifest.json").read_text())["faults"] == manifest.faults


def test_a_template_that_thinks_nothing_is_refused_with_the_command_that_helps(
    tmp_path: Path, qwen_folder: str
) -> None:
    """Qwen3's own writes an empty block into a last turn without reasoning."""
    settings = {"student": qwen_folder, "workers": 1, "max_tool_tokens": 10_000, "min_recall": 0}
    with pytest.raises(DatasetError, match=r"adds an empty <think> block .* --template chatml"):
        build_dataset(talks(), tmp_path / "d", DatasetConfig(**settings), [SOURCE])
    build_dataset(talks(), tmp_path / "d", DatasetConfig(**settings, template="chatml"), [SOURCE])
    assert check(tmp_path / "d", student=qwen_folder, template="chatml").ok


def test_a_row_that_thinks_nothing_by_itself(broken: Callable[[str], Path], qwen_tokenizer: str) -> None:
    folder = broken("hermes")
    read = rows(folder / "train.jsonl")
    empty_thoughts(read[0])
    rewrite(folder, read)
    told = [fault.message for fault in check(folder, tokenizer=qwen_tokenizer).faults]
    assert any("the row's own text has an empty <think> block" in message for message in told)
