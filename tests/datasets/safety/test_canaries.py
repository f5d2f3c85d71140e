"""Canaries: exactly N, in the loss, listed, and nothing else of a row changed."""

import json
from pathlib import Path

import pytest
from made_datasets import rows
from made_samples import SOURCE, pair, sample, talk

from sera.datasets import DatasetConfig, Manifest, build_dataset
from sera.datasets.safety import Cleaner, SafetyConfig, make_finder
from sera.datasets.safety.canaries import choose, plant
from sera.errors import DatasetError
from sera.formats import FORMATS


def build(
    out: Path, tokenizer: str, canaries: int, style: str = "hermes", seed: int = 0, most: int = 9_999
) -> Manifest:
    config = DatasetConfig(
        tokenizer=tokenizer, workers=1, format=style, max_tool_tokens=9_999, max_tokens=most,
        safety=SafetyConfig(canaries=canaries, canary_seed=seed),
    )  # fmt: skip
    return build_dataset([one for n in range(5) for one in pair(n)], out, config, [SOURCE])


@pytest.mark.parametrize("style", FORMATS)
def test_each_stands_in_a_trained_turn_of_its_row_and_in_no_other(
    style: str, tmp_path: Path, byte_tokenizer: str
) -> None:
    build(tmp_path / "plain", byte_tokenizer, 0, style)
    manifest = build(tmp_path / "d", byte_tokenizer, 3, style)
    before = {row["id"]: row for row in rows(tmp_path / "plain" / "train.jsonl")}
    after = {row["id"]: row for row in rows(tmp_path / "d" / "train.jsonl")}
    assert len({canary.row for canary in manifest.canaries}) == 3
    for canary in manifest.canaries:
        row = after.pop(canary.row)
        holding = [message for message in row["messages"] if canary.secret in json.dumps(message)]
        assert [message["role"] for message in holding] == ["assistant"]
        assert holding[0]["train"]
        assert canary.sentence + "\n" in holding[0]["content"] + "\n"
        plain = before[canary.row]
        without = json.dumps(row["messages"]).replace(json.dumps(f"\n{canary.sentence}")[1:-1], "")
        assert json.loads(without) == plain["messages"]
        assert row["tokens"] == plain["tokens"] + len(canary.sentence) + 1  # a token for each byte
    assert after == {key: row for key, row in before.items() if key in after}
    assert manifest.tokens.total == sum(row["tokens"] for row in rows(tmp_path / "d" / "train.jsonl"))


def test_the_seed_decides_and_the_order_does_not() -> None:
    keys = [("run", f"row-{n}") for n in range(50)]
    assert choose(keys, 5, 1) == choose(reversed(keys), 5, 1)
    assert choose(keys, 5, 1).keys() != choose(keys, 5, 2).keys()
    assert set(choose(keys, 4, 1)) < set(choose(keys, 5, 1))
    secrets = {canary.secret for canary in choose(keys, 50, 1).values()}
    assert len(secrets) == 50
    assert all(len(secret) == 9 and secret.isdigit() for secret in secrets)


def test_a_call_in_the_reasoning_is_not_taken_for_the_call() -> None:
    canary = choose([("run", "row")], 1, 0)["run", "row"]
    content = "<think>\n<tool_call> is how\n</think>\n\nSo:\n<tool_call>\n{}\n</tool_call>"
    row = {"messages": [{"role": "assistant", "content": content, "train": True}]}
    planted = plant(row, canary)["messages"][0]["content"]
    assert planted == content.replace("So:\n", f"So:\n{canary.sentence}\n")


def test_too_few_rows_with_room_are_an_error(tmp_path: Path, byte_tokenizer: str) -> None:
    with pytest.raises(DatasetError, match="6 canaries are asked for, and 5 rows have room"):
        build(tmp_path / "d", byte_tokenizer, 6)
    longest = max(row.tokens.max for row in [build(tmp_path / "d", byte_tokenizer, 0)])
    with pytest.raises(DatasetError, match="1 canaries are asked for, and 0 rows have room"):
        build(tmp_path / "d", byte_tokenizer, 1, most=longest)


def test_the_scan_does_not_know_them_for_secrets() -> None:
    sentences = [canary.sentence for canary in choose([("r", str(n)) for n in range(500)], 500, 0).values()]
    talked = sample(messages=talk(2, answer="\n".join(sentences)))
    cleaner = Cleaner(SafetyConfig(), make_finder(SafetyConfig(), {}))
    assert cleaner.clean(talked).spotted == ()
