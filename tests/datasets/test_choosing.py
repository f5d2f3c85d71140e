"""Choosing among samples: recipes, near-duplicates and caps, through the whole build."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from made_samples import SOURCE, agreement, pair, patch, sample, talk
from msgspec.structs import replace

from sera.datasets import DatasetConfig, Manifest, Sample, build_dataset
from sera.datasets.selection.config import Balance, NearDuplicates
from sera.errors import DatasetError
from sera.records import Stage
from sera.visible import markdown

OTHER = replace(SOURCE, repository="example/blog", run="run-2")
LONG = "the cart forgets what was put into it when the page is loaded again by another customer of the shop"


@pytest.fixture
def settings(byte_tokenizer: str) -> dict[str, Any]:
    return {"tokenizer": byte_tokenizer, "max_tokens": 11_800}


def build(samples: list[Sample], out: Path, **settings: Any) -> Manifest:
    return build_dataset(iter(samples), out, DatasetConfig(**settings), [SOURCE, OTHER])


def rows(out: Path, name: str = "train.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / name).read_text("utf-8").split("\n")[:-1]]


def refused(out: Path) -> dict[str, str]:
    return {row["id"]: row["reason"] for row in rows(out, "rejected.jsonl")}


def many() -> list[Sample]:
    """Forty pairs, half of them of another run, with every tenth of r, some too long."""
    samples = []
    for index in range(40):
        changes: dict[str, Any] = {"agreement": agreement(index % 11 / 10)}
        if index % 5 == 0:
            changes["messages"] = talk(62)
        if index % 2:
            changes["source"] = OTHER
        samples += pair(index, **changes)
    return samples


def test_a_recipe_is_followed_exactly(tmp_path: Path, settings: dict[str, Any]) -> None:
    manifest = build(many(), tmp_path / "d", recipe="12 T2 r>=0.5 + 20 T1", **settings)
    taken = rows(tmp_path / "d")
    assert Counter(row["stage"] for row in taken) == {"t1": 20, "t2": 12}
    assert all(row["recall"] >= 0.5 for row in taken if row["stage"] == "t2")
    assert manifest.recipe is not None
    assert [(part.part, part.wanted, part.got) for part in manifest.recipe.parts] == [
        ("12 T2 r>=0.5", 12, 12),
        ("20 T1", 20, 20),
    ]
    assert sum(reason == "surplus" for reason in refused(tmp_path / "d").values()) == 80 - 32 - 20
    assert {(one.stage, one.id) for one in many()} == {
        (row["stage"], row["id"]) for row in [*taken, *rows(tmp_path / "d", "rejected.jsonl")]
    }


def test_a_named_recipe_has_its_own_filters_and_tells_them(tmp_path: Path, settings: dict[str, Any]) -> None:
    """The specialist's limits on patches and tool output are the defaults, and are not the general student's."""
    loud = talk(3, answer="word " * 400)
    samples = [*pair(0), *pair(1, patch=patch("long", 90)), *pair(2, messages=loud, agreement=agreement(0.1))]
    taken = {}
    for name in ("sera-32b", "specialist"):
        manifest = build(
            samples, tmp_path / name, recipe=name, allow_short=True, max_patch_lines=50, **settings
        )
        taken[name] = {row["id"] for row in rows(tmp_path / name)}
        assert manifest.recipe
        told = [part.filters for part in manifest.recipe.parts]
        card = (tmp_path / name / "README.md").read_text("utf-8")
        assert all(markdown(filters) in card for filters in told)
        if name == "sera-32b":
            assert told == ["r>=0 ratio>=0.88 patch=any tool=any"]
        else:
            assert told == [f"{r}patch<=40 tool<=600 ratio>=0.88" for r in ("r>=0.5 ", "")]
    assert taken == {"sera-32b": {"t2-0", "t2-1", "t2-2"}, "specialist": {"t2-0", "t1-0"}}
    plain = build(samples, tmp_path / "plain", recipe="1 T2 patch=any + 1 T1", **settings)
    assert plain.recipe
    assert [part.filters for part in plain.recipe.parts] == [
        "patch=any tool<=600 ratio>=0.88 recall>=0.5",
        "patch<=40 tool<=600 ratio>=0.88",
    ]


def test_whole_conversations_are_chosen_first(tmp_path: Path, settings: dict[str, Any]) -> None:
    build(many(), tmp_path / "d", recipe="32 T2 r>=0", **settings)
    assert {row["ratio"] for row in rows(tmp_path / "d")} == {1}
    build(many(), tmp_path / "d", recipe="35 T2 r>=0", **settings)
    assert sum(row["ratio"] < 1 for row in rows(tmp_path / "d")) == 3


def test_random_truncation_prefers_nothing(tmp_path: Path, settings: dict[str, Any]) -> None:
    build(many(), tmp_path / "d", recipe="32 T2 r>=0", truncation="random", **settings)
    ratios = [row["ratio"] for row in rows(tmp_path / "d")]
    assert min(ratios) < 0.88
    assert ratios != sorted(ratios, reverse=True)


def test_the_choice_follows_seed_and_content_alone(tmp_path: Path, settings: dict[str, Any]) -> None:
    samples = many()
    build(samples, tmp_path / "a", recipe="10 T2 + 10 T1", seed=1, **settings)
    random.Random(0).shuffle(samples)
    build(samples, tmp_path / "b", recipe="10 T2 + 10 T1", seed=1, **settings)
    build(samples, tmp_path / "c", recipe="10 T2 + 10 T1", seed=2, **settings)
    texts = [(tmp_path / name / "train.jsonl").read_bytes() for name in "abc"]
    assert texts[0] == texts[1] != texts[2]


def test_as_many_from_each_run(tmp_path: Path, settings: dict[str, Any]) -> None:
    build(many(), tmp_path / "d", recipe="9 + 9", min_recall=0, **settings)
    assert Counter(row["run"] for row in rows(tmp_path / "d")) == {"run-1": 9, "run-2": 9}
    manifest = build(many(), tmp_path / "d", recipe="3 T1 run:2 + 2 T2 repo:shop r>0", **settings)
    assert Counter((row["stage"], row["repository"]) for row in rows(tmp_path / "d")) == {
        ("t1", "example/blog"): 3,
        ("t2", "example/shop"): 2,
    }
    assert manifest.recipe is not None
    assert [part.run for part in manifest.recipe.parts] == ["run-2", ""]
    assert "other_source" in refused(tmp_path / "d").values()


def test_too_few_is_an_error_that_counts(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(
        DatasetError, match=r"too few samples for the recipe: `50 T2 r>=0` gets 40\. .*--allow-short"
    ):
        build(many(), tmp_path / "d", recipe="50 T2 r>=0", **settings)
    assert not (tmp_path / "d").exists()
    manifest = build(many(), tmp_path / "d", recipe="50 T2 r>=0", allow_short=True, **settings)
    assert manifest.rows == 40
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_near_duplicates_go_by_task_and_by_issue(tmp_path: Path, settings: dict[str, Any]) -> None:
    near = patch("m0", 30).replace("m0 = 29", "m0 = 290")
    samples = [
        *pair(0, patch=patch("m0", 30)),
        *pair(1, patch=near),
        *pair(2, patch=patch("other", 30)),
        sample(3, issue=LONG),
        sample(4, issue=LONG + " today"),
        sample(5, issue="Prices are rounded down instead of to the nearest cent, which nobody expects."),
    ]
    nearness = NearDuplicates(patches=0.7, issues=0.8)
    for seed in range(3):
        random.Random(seed).shuffle(samples)
        build(samples, tmp_path / "d", near=nearness, stages=(Stage.T1, Stage.T2), **settings)
        assert refused(tmp_path / "d") == {"t1-1": "near_patch", "t2-1": "near_patch", "t2-4": "near_issue"}
    build(samples, tmp_path / "d", stages=(Stage.T1, Stage.T2), **settings)
    assert refused(tmp_path / "d") == {}


def test_caps(tmp_path: Path, settings: dict[str, Any]) -> None:
    samples = [
        one
        for index in range(30)
        for one in pair(index, category=f"c{index % 3}", path=f"m{index % 2}.py", function=f"f{index % 10}")
    ]
    build(samples, tmp_path / "d", balance=Balance(category=4), stages=(Stage.T1, Stage.T2), **settings)
    kept = Counter((row["stage"], row["category"]) for row in rows(tmp_path / "d"))
    assert kept == {(stage, f"c{n}"): 4 for stage in ("t1", "t2") for n in range(3)}
    assert set(refused(tmp_path / "d").values()) == {"over_cap"}
    build(samples, tmp_path / "d", balance=Balance(function=1, module=3), **settings)
    assert Counter(row["path"] for row in rows(tmp_path / "d")) == {"m0.py": 3, "m1.py": 3}
    assert len({row["function"] for row in rows(tmp_path / "d")}) == 6


def test_lists_stand_in_the_manifest(tmp_path: Path, settings: dict[str, Any]) -> None:
    (tmp_path / "kept").write_text("shop/other.py\n")
    manifest = build(pair(0), tmp_path / "d", held_out=str(tmp_path / "kept"), **settings)
    assert list(manifest.lists.values()) == ["kept"]
    (tmp_path / "kept").write_text("shop/cart.py\n")
    with pytest.raises(DatasetError, match="1 held_out"):
        build(pair(0), tmp_path / "d", held_out=str(tmp_path / "kept"), **settings)
    assert str(tmp_path).encode() not in (tmp_path / "d" / "manifest.json").read_bytes()
