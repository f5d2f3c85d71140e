"""The dataset's folder: its bytes, its sums, and what it refuses."""

import hashlib
import json
import random
import re
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from made_samples import SOURCE, TOOLS, agreement, call, pair, patch, sample, talk
from markdown_it import MarkdownIt

from sera.datasets import DatasetConfig, Manifest, Sample, build_dataset
from sera.datasets.card import render_card
from sera.datasets.manifest import read_manifest
from sera.errors import DatasetError
from sera.formats import FORMATS
from sera.records import End, Stage

BOTH = (Stage.T1, Stage.T2)


def mixed() -> list[Sample]:
    """Some of everything."""
    return [
        *pair(0),
        *pair(1, agreement=agreement(0.2)),
        *pair(2, patch=patch("m0")),
        *pair(3, messages=talk(60)),
        *pair(4, messages=talk(62)),
        *pair(5, messages=talk(4, answer="naïve – 字\u2028\x00", last=call(arguments="{bad"))),
        sample(6, Stage.T1, end=End.STEP_LIMIT, agreement=None),
        sample(7, Stage.T1, accepted=False),
    ]


@pytest.fixture
def settings(byte_tokenizer: str) -> dict[str, Any]:
    return {"tokenizer": byte_tokenizer, "stages": BOTH, "max_tokens": 11_800}


def build(samples: list[Sample], out: Path, **settings: Any) -> Manifest:
    return build_dataset(iter(samples), out, DatasetConfig(**settings), [SOURCE])


def rows(out: Path, name: str = "train.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / name).read_text("utf-8").split("\n")[:-1]]


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("style", FORMATS)
def test_equal_samples_give_equal_bytes(tmp_path: Path, settings: dict[str, Any], style: str) -> None:
    samples = mixed()
    build(samples, tmp_path / "a", format=style, **settings)
    first = content(tmp_path / "a")
    for seed in range(3):
        random.Random(seed).shuffle(samples)
        build(samples, tmp_path / "elsewhere" / "b", format=style, **settings)
        assert content(tmp_path / "elsewhere" / "b") == first
    assert str(tmp_path).encode() not in b"".join(first.values())


def test_every_sample_is_a_row_or_a_rejection(tmp_path: Path, settings: dict[str, Any]) -> None:
    manifest = build(mixed(), tmp_path / "d", **settings)
    taken, refused = rows(tmp_path / "d"), rows(tmp_path / "d", "rejected.jsonl")
    ids = sorted(row["id"] for row in taken + refused)
    assert ids == sorted(one.id for one in mixed())
    assert {row["id"]: row["reason"] for row in refused} == {
        "t2-1": "low_recall",
        "t1-2": "duplicate",
        "t2-2": "duplicate",
        "t1-6": "not_submitted",
        "t1-7": "refused",
    }
    assert {stage: (count.selected, dict(count.rejected)) for stage, count in manifest.counts.items()} == {
        "t1": (5, {"not_submitted": 1, "refused": 1, "duplicate": 1}),
        "t2": (4, {"low_recall": 1, "duplicate": 1}),
    }


def test_rejections_carry_figures_and_no_messages(tmp_path: Path, settings: dict[str, Any]) -> None:
    build(mixed(), tmp_path / "d", **settings)
    refused = {row["id"]: row for row in rows(tmp_path / "d", "rejected.jsonl")}
    assert refused["t2-1"]["recall"] == 0.2
    assert refused["t2-1"]["patch_lines"] == 2
    assert refused["t2-1"]["tokens"] is None
    assert refused["t2-2"]["tokens"] > 0
    assert {tuple(row) for row in refused.values()} == {tuple(refused["t2-1"])}


def test_whole_conversations_come_first(tmp_path: Path, settings: dict[str, Any]) -> None:
    manifest = build(mixed(), tmp_path / "d", **settings)
    ordered = [(row["index"], row["stage"]) for row in rows(tmp_path / "d")]
    whole = [(0, "t1"), (0, "t2"), (1, "t1"), (5, "t1"), (5, "t2")]
    assert ordered == [*whole, (3, "t1"), (3, "t2"), (4, "t1"), (4, "t2")]
    ratios = [row["ratio"] for row in rows(tmp_path / "d")]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[4] == 1 > ratios[5] > ratios[7] >= 0.88
    assert manifest.cut_rows == 4


def test_long_rows_are_stored_cut(tmp_path: Path, settings: dict[str, Any]) -> None:
    manifest = build(mixed(), tmp_path / "d", **settings)
    for row in rows(tmp_path / "d"):
        size = sum(
            len(f"{m['role']}\n{m['content']}\n".encode()) + 2 for m in row["messages"]
        )  # a byte is a token, a mark of the template is one
        assert row["tokens"] == size <= 11_800
        if row["ratio"] < 1:
            assert row["messages"][-1]["role"] == "assistant"
    lengths = [row["tokens"] for row in rows(tmp_path / "d")]
    assert (manifest.tokens.total, manifest.tokens.max) == (sum(lengths), max(lengths))


@pytest.mark.parametrize("style", FORMATS)
def test_all_rows_have_one_schema(tmp_path: Path, settings: dict[str, Any], style: str) -> None:
    build(mixed(), tmp_path / "d", format=style, **settings)
    assert len({json.dumps(shape(row)) for row in rows(tmp_path / "d")}) == 1
    assert ("tools" in rows(tmp_path / "d")[0]) == (style == "raw")


def shape(value: Any) -> Any:
    """Keys in order and types; the items of a list must agree, and an empty list fits any."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        shapes = {json.dumps(shape(item)) for item in value if item != []}
        if "tool_calls" in "".join(shapes):
            shapes = {one for one in shapes if '"tool_calls": []' not in one}
        assert len(shapes) <= 1
        return sorted(shapes)
    assert value is not None
    return type(value).__name__


def test_broken_calls_are_counted(tmp_path: Path, settings: dict[str, Any]) -> None:
    manifest = build(mixed(), tmp_path / "d", **settings)
    turns = [m for row in rows(tmp_path / "d") for m in row["messages"] if m["role"] == "assistant"]
    assert manifest.untrained_turns == 2 == sum(not turn["train"] for turn in turns)


def test_the_manifest_is_on_disk_and_its_checksums_hold(tmp_path: Path, settings: dict[str, Any]) -> None:
    manifest = build(mixed(), tmp_path / "d", **settings)
    out = tmp_path / "d"
    assert msgspec.json.decode((out / "manifest.json").read_bytes(), type=Manifest) == manifest
    assert manifest.files == {
        name: hashlib.sha256(data).hexdigest()
        for name, data in content(out).items()
        if name != "manifest.json"
    }
    assert manifest.sources == (SOURCE,)
    assert manifest.teachers == ({"model": "teacher", "temperature": 0.6},)
    assert manifest.settings["min_ratio"] == 0.88
    assert "tokenizer" not in manifest.settings


def test_the_card_tells_origin_and_counts(tmp_path: Path, settings: dict[str, Any]) -> None:
    build(mixed(), tmp_path / "d", **settings)
    card = (tmp_path / "d" / "README.md").read_text("utf-8")
    assert card.startswith("---\nconfigs:\n- config_name: default\n")
    for line in (
        "| example/shop | c0ffee | run-1 | unknown |",
        "| t1 | selected | 5 |",
        "| t2 | low_recall | 1 |",
    ):
        assert line in card


def test_tables_of_the_card_have_a_heading_for_each_cell(tmp_path: Path, settings: dict[str, Any]) -> None:
    build(mixed(), tmp_path / "d", recipe="4 T2 + 2 T1", **settings)
    card = (tmp_path / "d" / "README.md").read_text("utf-8")
    tables = re.findall(r"(?:^\|.*\n)+", card, re.MULTILINE)
    assert len(tables) == 4
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1, table


@pytest.mark.parametrize(
    "teacher", [{"kind": "rehearsal", "seed": 0}, {"kind": "chat", "model": "rehearsal"}]
)
def test_a_rehearsal_is_called_one(tmp_path: Path, settings: dict[str, Any], teacher: dict[str, Any]) -> None:
    one = [
        msgspec.structs.replace(sample, teacher=teacher) if sample.index == 0 else sample
        for sample in mixed()
    ]
    manifest = build(one, tmp_path / "d", **settings)
    rows = [json.loads(line) for line in (tmp_path / "d" / "train.jsonl").read_bytes().splitlines()]
    played = [row for row in rows if row["teacher"] == "rehearsal"]
    assert 0 < manifest.rehearsed == len(played) < len(rows)
    card = (tmp_path / "d" / "README.md").read_text("utf-8")
    assert f"**Rehearsal data: {len(played)} of {len(rows)} rows" in card
    assert "Teachers: rehearsal, teacher." in card
    assert manifest.rehearsal
    older = msgspec.structs.replace(manifest, rehearsed=0)
    assert "Rehearsal data: rows were" in older.rehearsal, "built before the rows were counted"
    plain = build(mixed(), tmp_path / "plain", **settings)
    assert not plain.rehearsal
    assert "ehearsal" not in (tmp_path / "plain" / "README.md").read_text("utf-8")


def test_names_in_the_card_are_text(tmp_path: Path, settings: dict[str, Any]) -> None:
    """Of repositories, runs, teachers, licences and reasons, whatever they say."""
    build(mixed(), tmp_path / "d", **settings)
    plain = read_manifest(tmp_path / "d")
    odd = (
        "<b onclick=x>shop</b>\n\n## Owned\n---\nlicense: mit\n---\n| a | b |\n[x](javascript:x) ![](http://h/i) `c` "
        "$\\frac{1}$ @team\x1b[2J\u202e"
    )
    source = msgspec.structs.replace(plain.sources[0], repository=odd, commit=odd, run=odd, licence=odd)
    count = msgspec.structs.replace(plain.counts["t1"], rejected={odd: 3})
    manifest = msgspec.structs.replace(
        plain, sources=(source,), teachers=({"model": odd},), profile=odd, counts={odd: count},
        settings={**plain.settings, "max_tokens": odd, odd: [odd]},
    )  # fmt: skip
    card, usual = render_card(manifest), render_card(plain)
    assert card.partition("# Training")[0] == usual.partition("# Training")[0], "the front matter is ours"
    render = MarkdownIt("commonmark", {"html": True}).enable("table").render
    pages = [render(text.partition("---\n\n")[2]) for text in (card, usual)]
    headings = [re.findall(r"<h\d>([^<]*)", page) for page in pages]
    assert [heading for heading in headings[0] if "shop" not in heading] == headings[1][1:]
    assert len(re.findall("<table>", pages[0])) == len(re.findall("<table>", pages[1]))
    assert not re.search(r"<(b|img|a|em|script)\b", pages[0])
    assert not re.search(r"[\x1b\u202e$@]|\]\(|http://", card)
    assert "&lt;b onclick=x&gt;shop&lt;/b&gt;␊␊## Owned␊---␊license: mit" in pages[0]


def test_two_harness_profiles_are_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(DatasetError, match="profile-a and profile-b"):
        build([sample(0), sample(1, profile="profile-b")], tmp_path / "d", **settings)
    assert list(tmp_path.iterdir()) == []


def test_a_sample_of_an_unnamed_run_is_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(DatasetError, match="not among the sources"):
        build_dataset([sample(0)], tmp_path / "d", DatasetConfig(**settings), [])


def test_a_run_given_twice_is_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(DatasetError, match="sample t1-0 of run run-1 comes twice"):
        build([*pair(0), *pair(0)], tmp_path / "d", **settings)


def test_nothing_selected_says_why(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(DatasetError, match="1 low_recall, 1 refused"):
        build([sample(0, agreement=None), sample(1, Stage.T1, accepted=False)], tmp_path / "d", **settings)
    assert list(tmp_path.iterdir()) == []


def test_our_own_folder_is_replaced_whole(tmp_path: Path, settings: dict[str, Any]) -> None:
    out = tmp_path / "d"
    build(mixed(), out, **settings)
    build(pair(0), out, **settings)
    assert [row["id"] for row in rows(out)] == ["t1-0", "t2-0"]
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_an_empty_folder_is_filled(tmp_path: Path, settings: dict[str, Any]) -> None:
    (tmp_path / "d").mkdir()
    assert build(pair(0), tmp_path / "d", **settings).rows == 2


@pytest.mark.parametrize("name", ["notes.txt", "manifest.json", "train.jsonl"])
def test_a_folder_of_others_is_left_alone(tmp_path: Path, settings: dict[str, Any], name: str) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / name).write_text('{"kind": "other"}')
    with pytest.raises(DatasetError, match="choose another folder"):
        build(pair(0), tmp_path / "d", **settings)
    assert content(tmp_path / "d") == {name: b'{"kind": "other"}'}


def test_a_dataset_with_a_foreign_file_is_left_alone(tmp_path: Path, settings: dict[str, Any]) -> None:
    build(pair(0), tmp_path / "d", **settings)
    (tmp_path / "d" / "notes.txt").write_text("mine")
    with pytest.raises(DatasetError, match="choose another folder"):
        build(pair(1), tmp_path / "d", **settings)


def test_a_crash_leaves_the_old_one(tmp_path: Path, settings: dict[str, Any]) -> None:
    build(pair(0), tmp_path / "d", **settings)
    before = content(tmp_path / "d")

    def failing() -> Any:
        yield sample(1)
        raise OSError(28, "No space left on device")

    with pytest.raises(DatasetError, match="No space left"):
        build_dataset(failing(), tmp_path / "d", DatasetConfig(**settings), [SOURCE])
    assert content(tmp_path / "d") == before
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_a_path_under_a_file_is_an_error_of_ours(tmp_path: Path, settings: dict[str, Any]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="dataset "):
        build(pair(0), tmp_path / "file" / "d", **settings)
    with pytest.raises(DatasetError, match="choose another folder"):
        build(pair(0), tmp_path / "file", **settings)


def test_memory_holds_one_conversation_at_a_time(tmp_path: Path, settings: dict[str, Any]) -> None:
    class Tools(list[Any]):
        """A list that can be watched."""

    made: list[weakref.ref[Tools]] = []

    def samples() -> Iterator[Sample]:
        for index in range(30):
            tools = Tools(TOOLS)
            made.append(weakref.ref(tools))
            yield sample(index, tools=tools)
            assert sum(ref() is not None for ref in made) <= 2

    assert build_dataset(samples(), tmp_path / "d", DatasetConfig(**settings), [SOURCE]).rows == 30


def test_with_qwens_tokenizer(tmp_path: Path, qwen_tokenizer: str) -> None:
    manifest = build(mixed(), tmp_path / "d", tokenizer=qwen_tokenizer)
    assert manifest.settings["stages"] == ["t2"]
    assert manifest.rows == 4
    assert manifest.counts["t1"].rejected["other_stage"] == 8
