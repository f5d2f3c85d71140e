"""A build goes on: what was decided is not decided again, and what is torn is."""

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_samples import SOURCE, pair, sample, talk

import sera
from sera.datasets import DatasetConfig, Sample, build, build_dataset
from sera.datasets.candidate import Candidate
from sera.datasets.workspace import open_workspace
from sera.errors import DatasetError
from sera.records import Stage

BOTH = (Stage.T1, Stage.T2)
LONG: dict[str, Any] = {"max_tokens": 100_000, "max_tool_tokens": 3_000}


class Interrupted(Exception):
    pass


def samples(count: int = 24) -> list[Sample]:
    return [one for index in range(count) for one in pair(index, messages=talk(4 + index % 7))]


def broken_off(after: int) -> Iterator[Sample]:
    yield from samples()[:after]
    raise Interrupted


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture
def config(byte_tokenizer: str) -> DatasetConfig:
    return DatasetConfig(tokenizer=byte_tokenizer, stages=BOTH, workers=1)


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of samples that are rendered, in order."""
    ids: list[str] = []
    inner = Candidate.turns.func  # type: ignore[attr-defined]

    def watched(self: Candidate) -> Any:
        ids.append(self.sample.id)
        return inner(self)

    monkeypatch.setattr(Candidate.turns, "func", watched)
    return ids


def test_what_was_decided_is_not_rendered_again(
    tmp_path: Path, config: DatasetConfig, rendered: list[str]
) -> None:
    whole = build_dataset(samples(), tmp_path / "whole", config, [SOURCE])
    rendered.clear()
    with pytest.raises(Interrupted):
        build_dataset(broken_off(after=40), tmp_path / "d", config, [SOURCE])
    before = set(rendered)
    assert 20 < len(before) < 40
    rendered.clear()
    assert build_dataset(samples(), tmp_path / "d", config, [SOURCE]) == whole
    assert before.isdisjoint(rendered)
    assert before | set(rendered) == {one.id for one in samples()}
    assert content(tmp_path / "d") == content(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "whole"]


def test_torn_ends_are_decided_again(tmp_path: Path, config: DatasetConfig) -> None:
    build_dataset(samples(), tmp_path / "whole", config, [SOURCE])
    draw = random.Random(1)
    for _ in range(3):
        with pytest.raises(Interrupted):
            build_dataset(broken_off(after=40), tmp_path / "d", config, [SOURCE])
        for name in ("decided.jsonl", "spool.jsonl"):
            file = tmp_path / ".d.building" / name
            data = file.read_bytes()
            file.write_bytes(data[: draw.randrange(len(data))] + draw.choice([b"", b"{torn", b"\n"]))
        build_dataset(samples(), tmp_path / "d", config, [SOURCE])
        assert content(tmp_path / "d") == content(tmp_path / "whole")


@pytest.mark.parametrize("byte", [b"\0", b"\xff", b"0", b"\n", b"", b"ab"])
def test_damage_in_the_middle_is_decided_again(
    tmp_path: Path, config: DatasetConfig, rendered: list[str], byte: bytes
) -> None:
    """A byte altered, cut or inserted, of a row or of what speaks of it: only that sample is done anew."""
    build_dataset(samples(), tmp_path / "whole", config, [SOURCE])
    draw = random.Random(byte)
    for name in ("decided.jsonl", "spool.jsonl", "key"):
        with pytest.raises(Interrupted):
            build_dataset(broken_off(after=40), tmp_path / "d", config, [SOURCE])
        file = tmp_path / ".d.building" / name
        data = file.read_bytes()
        place = draw.randrange(len(data) // 2)
        if data[place : place + 1] == byte:
            place += 1
        file.write_bytes(data[:place] + byte + data[place + 1 :])
        rendered.clear()
        build_dataset(samples(), tmp_path / "d", config, [SOURCE])
        assert content(tmp_path / "d") == content(tmp_path / "whole")
        if len(byte) == 1 and byte != b"\n" and name != "key":
            assert len(rendered) < 48 / 2, "what is whole was decided again"


def test_other_settings_begin_anew(tmp_path: Path, config: DatasetConfig, rendered: list[str]) -> None:
    with pytest.raises(Interrupted):
        build_dataset(broken_off(after=40), tmp_path / "d", config, [SOURCE])
    rendered.clear()
    other = DatasetConfig(tokenizer=config.tokenizer, stages=BOTH, workers=1, format="xml")
    build_dataset(samples(), tmp_path / "d", other, [SOURCE])
    assert len(rendered) == 48


def test_settings_of_the_whole_set_go_on(tmp_path: Path, config: DatasetConfig, rendered: list[str]) -> None:
    with pytest.raises(DatasetError, match="too few"):
        build_dataset(samples(), tmp_path / "d", recipe_of(config, "all T1 + 500 T2"), [SOURCE])
    rendered.clear()
    with pytest.raises(DatasetError, match="too few"):
        build_dataset(samples(), tmp_path / "d", recipe_of(config, "7 T1 + 400 T2"), [SOURCE])
    short = recipe_of(config, "all T1 + 500 T2", allow_short=True, seed=5)
    assert build_dataset(samples(), tmp_path / "d", short, [SOURCE]).rows == 48
    assert rendered == []


def test_a_recipe_of_other_kinds_begins_anew(
    tmp_path: Path, config: DatasetConfig, rendered: list[str]
) -> None:
    with pytest.raises(DatasetError, match="too few"):
        build_dataset(samples(), tmp_path / "d", recipe_of(config, "500 T1 + 500 T2"), [SOURCE])
    rendered.clear()
    made = build_dataset(samples(), tmp_path / "d", recipe_of(config, "all T1 r>=2 + 4 T2"), [SOURCE])
    assert made.rows == 4
    assert len(rendered) == 24


def recipe_of(config: DatasetConfig, recipe: str, **more: Any) -> DatasetConfig:
    return DatasetConfig(tokenizer=config.tokenizer, stages=BOTH, workers=1, recipe=recipe, **more)


def test_a_sample_that_has_changed_is_decided_again(
    tmp_path: Path, config: DatasetConfig, rendered: list[str]
) -> None:
    with pytest.raises(Interrupted):
        build_dataset(broken_off(after=40), tmp_path / "d", config, [SOURCE])
    changed = [sample(0, Stage.T1, category="other"), *samples()[1:]]
    rendered.clear()
    build_dataset(changed, tmp_path / "d", config, [SOURCE])
    assert "t1-0" in rendered
    assert "t2-0" not in rendered
    first = json.loads((tmp_path / "d" / "train.jsonl").read_text("utf-8").split("\n")[0])
    assert (first["id"], first["category"]) == ("t1-0", "other")


def test_one_process_at_a_time(tmp_path: Path, config: DatasetConfig) -> None:
    with open_workspace(tmp_path / "d", "key") as workspace:
        with pytest.raises(DatasetError, match="another process is building"):
            build_dataset(samples(), tmp_path / "d", config, [SOURCE])
        (workspace.new / "train.jsonl").write_text("")


def heavy() -> list[Sample]:
    """More than one batch."""
    return [one for index in range(12) for one in pair(index, messages=talk(2, answer="x" * 200))]


def test_processes_give_the_same_bytes(tmp_path: Path, byte_tokenizer: str) -> None:
    for name, workers in (("one", 1), ("two", 2)):
        config = DatasetConfig(tokenizer=byte_tokenizer, stages=BOTH, workers=workers, **LONG)
        build_dataset(heavy(), tmp_path / name, config, [SOURCE])
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_an_error_in_another_process_is_the_same_error(tmp_path: Path, byte_tokenizer: str) -> None:
    config = DatasetConfig(tokenizer=byte_tokenizer, stages=BOTH, workers=2, recall_by="luck", **LONG)
    with pytest.raises(DatasetError, match="there is no measure 'luck'"):
        build_dataset(heavy(), tmp_path / "d", config, [SOURCE])


def test_code_of_other_parts_decides_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is in a workspace was written by a format and cleaned by the redaction's rules."""
    for part in ("datasets", "formats", "redaction"):
        shutil.copytree(Path(sera.__file__).parent / part, tmp_path / part)
    monkeypatch.setattr(build, "__file__", str(tmp_path / "datasets" / "build.py"))
    before = build._code()
    (tmp_path / "formats" / "hermes.py").write_text("other words")
    assert build._code() != before
