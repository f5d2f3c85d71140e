"""Exports: what is in each, what is left out, the same bytes, all or nothing, little memory."""

import hashlib
import json
import os
import shutil
import subprocess
import tracemalloc
from pathlib import Path
from typing import Any

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import msgspec
import pyarrow.parquet
import pytest
import yaml
from made_datasets import make_dataset, rows, talks

from sera.datasets.card import render_card
from sera.datasets.exchange.contract import Options, open_dataset
from sera.datasets.exchange.export import EXPORTS, export_dataset
from sera.datasets.exchange.licences import Licence, Notice, read_licence, recognise
from sera.datasets.exchange.to_parquet import groups
from sera.datasets.manifest import is_ours, read_manifest
from sera.errors import ConfigError, DatasetError, UsageError

STYLES = ("hermes", "xml", "raw")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, byte_tokenizer: str) -> dict[str, Path]:
    """A dataset in each format."""
    folder = tmp_path_factory.mktemp("built")
    for style in STYLES:
        make_dataset(folder / style, byte_tokenizer, style)
    return {style: folder / style for style in STYLES}


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("to", EXPORTS)
def test_the_same_dataset_gives_the_same_bytes(
    built: dict[str, Path], tmp_path: Path, to: str, style: str
) -> None:
    if style not in EXPORTS[to].takes:
        with pytest.raises(DatasetError, match=r"build it again with --format (hermes|raw)"):
            export_dataset(built[style], tmp_path / "a", to)
        assert list(tmp_path.iterdir()) == []
        return
    record = export_dataset(built[style], tmp_path / "a", to)
    export_dataset(built[style], tmp_path / "deeper" / "b", to)
    first = content(tmp_path / "a")
    assert content(tmp_path / "deeper" / "b") == first
    assert str(tmp_path).encode() not in b"".join(first.values())
    assert record.files == {
        name: hashlib.sha256(data).hexdigest() for name, data in first.items() if name != "export.json"
    }
    assert record.rows == len(rows(built[style] / "train.jsonl"))


@pytest.mark.parametrize("style", STYLES)
def test_jsonl_and_parquet_hold_the_very_rows(built: dict[str, Path], tmp_path: Path, style: str) -> None:
    export_dataset(built[style], tmp_path / "jsonl", "jsonl")
    export_dataset(built[style], tmp_path / "parquet", "parquet")
    native = rows(built[style] / "train.jsonl")
    assert rows(tmp_path / "jsonl" / "train.jsonl") == native
    table = pyarrow.parquet.read_table(tmp_path / "parquet" / "train.parquet")
    assert table.to_pylist() == native
    assert str(table.schema.field("messages").type).startswith(
        "list<element: struct<role: string, content: string"
    )
    assert str(table.schema.field("index").type) == "int64"


def test_a_row_that_does_not_fit_the_schema_is_named(built: dict[str, Path], tmp_path: Path) -> None:
    broken = tmp_path / "d"
    make_odd(built["hermes"], broken, lambda row: {**row, "recall": "high"} if row["id"] == "t2-3" else row)
    with pytest.raises(DatasetError, match="other types than the first"):
        export_dataset(broken, tmp_path / "out", "parquet")
    make_odd(built["hermes"], broken, lambda row: {**row, "more": 1} if row["id"] == "t2-3" else row)
    with pytest.raises(DatasetError, match="row t2-3 has other columns"):
        export_dataset(broken, tmp_path / "out", "parquet")


def make_odd(dataset: Path, out: Path, change: Any, data: bytes = b"") -> None:
    """The dataset with its rows changed, or others, and a manifest that knows of it."""
    out.mkdir(exist_ok=True)
    if not data:
        data = "".join(json.dumps(change(row)) + "\n" for row in rows(dataset / "train.jsonl")).encode()
    (out / "train.jsonl").write_bytes(data)
    manifest = json.loads((dataset / "manifest.json").read_text())
    manifest["files"]["train.jsonl"] = hashlib.sha256(data).hexdigest()
    (out / "manifest.json").write_text(json.dumps(manifest))


def test_axolotl_reads_mask_and_text_and_nothing_else(built: dict[str, Path], tmp_path: Path) -> None:
    export_dataset(built["hermes"], tmp_path / "a", "axolotl")
    native = rows(built["hermes"] / "train.jsonl")
    assert rows(tmp_path / "a" / "train.jsonl") == [{"messages": row["messages"]} for row in native]
    stanza = yaml.safe_load((tmp_path / "a" / "axolotl.yaml").read_text())
    (entry,) = stanza["datasets"]
    assert stanza["chat_template"] == "chatml"
    assert stanza["sequence_len"] == 32_768
    assert (entry["type"], entry["path"], entry["message_field_training"]) == (
        "chat_template",
        "train.jsonl",
        "train",
    )
    messages = rows(tmp_path / "a" / "train.jsonl")[0][entry["field_messages"]]
    assert {turn["role"] for turn in messages} <= {
        name for names in entry["roles"].values() for name in names
    }
    assert any("<tool_call>" in turn["content"] and turn["train"] for turn in messages)


def test_trl_leaves_out_what_its_mask_would_get_wrong(built: dict[str, Path], tmp_path: Path) -> None:
    record = export_dataset(built["hermes"], tmp_path / "a", "trl")
    assert record.left_out == {"untrained_turn": 1}
    native = [row for row in rows(built["hermes"] / "train.jsonl") if row["id"] != "t2-2"]
    written = rows(tmp_path / "a" / "train.jsonl")
    assert [[(t["role"], t["content"]) for t in row["messages"]] for row in written] == [
        [(t["role"], t["content"]) for t in row["messages"]] for row in native
    ]
    assert {key for row in written for turn in row["messages"] for key in turn} == {"role", "content"}
    assert json.loads((tmp_path / "a" / "sft_config.json").read_text()) == {
        "max_length": 32_768,
        "packing": False,
        "assistant_only_loss": True,
    }


def test_trl_turns_train_each_trained_turn_once(built: dict[str, Path], tmp_path: Path) -> None:
    record = export_dataset(built["raw"], tmp_path / "a", "trl-turns")
    assert record.left_out == {}
    native = rows(built["raw"] / "train.jsonl")
    trained = [turn["content"] for row in native for turn in row["messages"] if turn["train"]]
    written = rows(tmp_path / "a" / "train.jsonl")
    assert [row["completion"][0]["content"] for row in written] == trained
    assert all(row["completion"][0]["role"] == "assistant" for row in written)
    first = native[0]["messages"]
    place = next(n for n, turn in enumerate(first) if turn["train"])
    assert [turn["content"] for turn in written[0]["prompt"]] == [turn["content"] for turn in first[:place]]


def test_trl_arguments_are_objects_with_their_own_keys_only(built: dict[str, Path], tmp_path: Path) -> None:
    export_dataset(built["raw"], tmp_path / "a", "trl")
    written = {len(row["messages"]): row for row in rows(tmp_path / "a" / "train.jsonl")}
    calls = [
        call["function"]
        for row in written.values()
        for turn in row["messages"]
        for call in turn.get("tool_calls", ())
    ]
    assert {
        "name": "str_replace_editor",
        "arguments": {"command": "view", "path": "/p", "view_range": [1, 2]},
    } in calls
    assert all(None not in call["arguments"].values() for call in calls)
    assert all(isinstance(json.loads(row["tools"]), list) for row in written.values())


class Generation(jinja2.ext.Extension):
    """The block by which trainers mark what is generated; here its text is put in brackets."""

    tags = {"generation"}  # noqa: RUF012 - as jinja declares it

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_mark"), [], [], body).set_lineno(line)

    def _mark(self, caller: Any) -> str:
        return f"⟦{caller()}⟧"


def test_the_template_beside_trl_rows_is_plain_chatml_with_marks(
    built: dict[str, Path], tmp_path: Path
) -> None:
    export_dataset(built["hermes"], tmp_path / "a", "trl")
    environment = jinja2.Environment(
        extensions=[Generation], trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    template = environment.from_string((tmp_path / "a" / "chat_template.jinja").read_text())
    for row in rows(tmp_path / "a" / "train.jsonl"):
        expected = ""
        for turn in row["messages"]:
            text = f"{turn['content']}<|im_end|>"
            expected += (
                f"<|im_start|>{turn['role']}\n"
                + (f"⟦{text}⟧" if turn["role"] == "assistant" else text)
                + "\n"
            )
        assert template.render(messages=row["messages"]) == expected
        assert (
            template.render(messages=row["messages"], add_generation_prompt=True)
            == expected + "<|im_start|>assistant\n"
        )


def test_openai_has_weights_tools_and_no_other_key(built: dict[str, Path], tmp_path: Path) -> None:
    export_dataset(built["raw"], tmp_path / "a", "openai")
    native = {row["id"]: row for row in rows(built["raw"] / "train.jsonl")}
    written = dict(zip(native, rows(tmp_path / "a" / "train.jsonl"), strict=True))
    for identity, row in written.items():
        assert list(row) == ["messages", "tools", "parallel_tool_calls"]
        assert row["messages"][-1]["role"] == "assistant"
        weights = [turn["weight"] for turn in row["messages"] if turn["role"] == "assistant"]
        assert weights == [int(t["train"]) for t in native[identity]["messages"] if t["role"] == "assistant"]
        keys = {"role", "content", "tool_calls", "tool_call_id", "weight"}
        assert all(turn.keys() <= keys for turn in row["messages"])
        assert {tool["function"]["name"] for tool in row["tools"]} == {"bash", "str_replace_editor", "submit"}
    assert {
        identity: row["parallel_tool_calls"]
        for identity, row in written.items()
        if row["parallel_tool_calls"]
    } == {"t2-1": True}
    assert [turn["weight"] for turn in written["t2-2"]["messages"] if turn["role"] == "assistant"] == [
        1,
        1,
        0,
    ]
    assert written["t2-0"]["messages"][2]["content"] == "<think>\nHm.\n</think>\n\nSo:"


def test_the_hub_folder_has_shards_card_and_notices(built: dict[str, Path], tmp_path: Path) -> None:
    notice = Notice(name="LICENSE", text="Do as you like.")
    licences = (
        Licence(repository="example/shop", id="MIT", notices=(notice,)),
        Licence(repository="other", id="unknown"),
    )
    export_dataset(built["hermes"], tmp_path / "a", "hub", Options(licences=licences, shard_bytes=4_000))
    shards = sorted((tmp_path / "a" / "data").iterdir())
    assert len(shards) > 1
    assert [path.name for path in shards] == [
        f"train-{n:05d}-of-{len(shards):05d}.parquet" for n in range(len(shards))
    ]
    read = [row for shard in shards for row in pyarrow.parquet.read_table(shard).to_pylist()]
    assert read == rows(built["hermes"] / "train.jsonl")
    card = (tmp_path / "a" / "README.md").read_text()
    _, head, body = card.split("---\n", 2)
    front = yaml.safe_load(head)
    assert front["configs"] == [
        {"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*"}]}
    ]
    assert front["size_categories"] == ["n<1K"]
    assert "license" not in front
    assert "| example/shop | MIT | `LICENSES/example-shop/LICENSE` |" in body
    assert "| other | unknown | none found |" in body
    assert "train.jsonl" not in body
    assert (tmp_path / "a" / "LICENSES" / "example-shop" / "LICENSE").read_text() == "Do as you like."
    for name in ("manifest.json", "rejected.jsonl"):
        assert (tmp_path / "a" / name).read_bytes() == (built["hermes"] / name).read_bytes()


def test_names_of_licences_are_text_in_the_card(built: dict[str, Path], tmp_path: Path) -> None:
    odd = "x` | <i>\n# no"
    licences = (Licence(repository=f"r{odd}", id=f"i{odd}", notices=(Notice(name="COPYING.`<i>", text=""),)),)
    export_dataset(built["hermes"], tmp_path / "a", "hub", Options(licences=licences))
    last = (tmp_path / "a" / "README.md").read_text().rstrip("\n").splitlines()[-1]
    cell = r"x\` \| &#60;i&#62;␊\# no"
    assert last == rf"| r{cell} | i{cell} | LICENSES/rx-i-no/COPYING.\`&#60;i&#62; |"


def test_a_name_that_looks_like_the_rows_stays(built: dict[str, Path], tmp_path: Path) -> None:
    make_odd(built["hermes"], tmp_path / "d", lambda row: row)
    manifest = read_manifest(tmp_path / "d")
    name = 'train.jsonl load("json"'
    source = msgspec.structs.replace(manifest.sources[0], repository=name)
    card = render_card(msgspec.structs.replace(manifest, sources=(source,)))
    (tmp_path / "d" / "README.md").write_text(card)
    export_dataset(tmp_path / "d", tmp_path / "out", "hub")
    lines = (tmp_path / "out" / "README.md").read_text().splitlines()
    assert f"# Training data for {name}" in lines
    assert 'rows = load_dataset("parquet", data_files="data/train-*.parquet", split="train")' in lines


def test_a_dataset_with_a_very_deep_folder(built: dict[str, Path], tmp_path: Path) -> None:
    """It may be anybody's. What its manifest does not name stays where it is."""
    make_odd(built["hermes"], tmp_path / "d", lambda row: row)
    (tmp_path / "d" / "README.md").write_text("card")
    here = os.open(tmp_path / "d", os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("x", dir_fd=here)
        inner = os.open("x", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(os.open("more", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    try:
        export_dataset(tmp_path / "d", tmp_path / "out", "hub")
        assert not (tmp_path / "out" / "x").exists()
        assert is_ours(built["hermes"])
        assert not is_ours(tmp_path / "d")
    finally:
        subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)


def test_a_manifest_is_not_asked_for_paths_outside(built: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("mine")
    make_odd(built["hermes"], tmp_path / "d", lambda row: row)
    manifest = json.loads((tmp_path / "d" / "manifest.json").read_text())
    manifest["files"] |= {"../secret.txt": "0" * 64, str(tmp_path / "secret.txt"): "0" * 64, "link": "0" * 64}
    (tmp_path / "d" / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "d" / "link").symlink_to(tmp_path / "secret.txt")
    (tmp_path / "d" / "README.md").write_text("card")
    export_dataset(tmp_path / "d", tmp_path / "out", "hub")
    assert sorted(content(tmp_path / "out")) == [
        "README.md",
        "data/train-00000-of-00001.parquet",
        "export.json",
        "manifest.json",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "out", "secret.txt"]


def test_two_repositories_of_one_name_cannot_share_a_folder(built: dict[str, Path], tmp_path: Path) -> None:
    licences = (Licence(repository="a/b", id="MIT"), Licence(repository="a-b", id="MIT"))
    with pytest.raises(UsageError, match="named alike: a-b, a-b"):
        export_dataset(built["hermes"], tmp_path / "out", "hub", Options(licences=licences))


def test_rows_that_were_changed_after_the_build_do_not_leave(built: dict[str, Path], tmp_path: Path) -> None:
    dataset = tmp_path / "d"
    make_odd(built["hermes"], dataset, lambda row: row)
    with (dataset / "train.jsonl").open("ab") as file:
        file.write(b'{"messages": []}\n')
    with pytest.raises(DatasetError, match="checksum differs"):
        export_dataset(dataset, tmp_path / "out", "jsonl")
    (dataset / "train.jsonl").write_bytes(b'{"messages": [\n')
    with pytest.raises(DatasetError, match=r"train\.jsonl, line 1: "):
        export_dataset(dataset, tmp_path / "out", "jsonl")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d"]


def test_an_export_replaces_an_export_and_nothing_else(built: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_dataset(built["hermes"], out, "hub")
    export_dataset(built["hermes"], out, "axolotl")
    assert sorted(content(out)) == ["axolotl.yaml", "export.json", "train.jsonl"]
    (out / "mine.txt").write_text("")
    for place in (out, built["hermes"]):
        before = content(place)
        with pytest.raises(DatasetError, match="choose another folder"):
            export_dataset(built["hermes"], place, "jsonl")
        assert content(place) == before


def test_unknown_words_are_answered_with_the_known_ones(built: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="jsonl, parquet, hub, axolotl, trl, trl-turns, openai"):
        export_dataset(built["hermes"], tmp_path / "out", "csv")
    with pytest.raises(DatasetError, match="is no dataset: there is no manifest"):
        export_dataset(tmp_path, tmp_path / "out", "jsonl")


def test_groups_are_cut_by_size_and_lose_nothing() -> None:
    numbers = [{"n": n} for n in range(10)]
    assert [len(group) for group in groups(iter(numbers), 24)] == [3, 3, 3, 1]
    assert [row for group in groups(iter(numbers), 1) for row in group] == numbers
    assert list(groups(iter([]), 10)) == []


@pytest.mark.parametrize("to", ["jsonl", "axolotl", "trl-turns"])
def test_memory_does_not_grow_with_the_rows(built: dict[str, Path], tmp_path: Path, to: str) -> None:
    dataset, data = tmp_path / "d", (built["hermes"] / "train.jsonl").read_bytes() * 200
    make_odd(built["hermes"], dataset, lambda row: row, data)
    size = len(data)
    del data
    tracemalloc.start()
    export_dataset(dataset, tmp_path / "out", to)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < size / 4


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (
            "MIT License\n\nPermission is hereby granted, free of charge, to any person\nobtaining a copy of",
            "MIT",
        ),
        (
            "                                 Apache License\n                           Version 2.0, January 2004",
            "Apache-2.0",
        ),
        (
            "                    GNU GENERAL PUBLIC LICENSE\n                       Version 3, 29 June 2007",
            "GPL-3.0",
        ),
        ("GNU LESSER GENERAL PUBLIC LICENSE\nVersion 2.1, February 1999", "LGPL-2.1"),
        ("Mozilla Public License Version 2.0\n====", "MPL-2.0"),
        (
            "Redistribution and use in source and binary forms, with or without … 3. Neither the name of X",
            "BSD-3-Clause",
        ),
        ("Redistribution and use in source and binary forms, with or without …", "BSD-2-Clause"),
        ("All rights reserved.", "unknown"),
    ],
)
def test_licences_are_recognised_by_their_own_words(text: str, name: str) -> None:
    assert recognise(text) == name


def test_a_repository_s_metadata_come_before_its_texts(tmp_path: Path) -> None:
    (tmp_path / "LICENSE.txt").write_text(
        "Permission is hereby granted, free of charge, to any person obtaining a copy"
    )
    (tmp_path / "license.py").write_text("print()")
    assert read_licence(tmp_path, "a/b") == Licence(
        repository="a/b",
        id="MIT",
        notices=(Notice(name="LICENSE.txt", text=(tmp_path / "LICENSE.txt").read_text()),),
    )
    for written, expected in (
        ('license = "BSD-3-Clause OR MIT"', "BSD-3-Clause OR MIT"),
        ('license = {text = "ISC"}', "ISC"),
        ('license = {file = "LICENSE.txt"}', "MIT"),
        ("license = 3 3", "MIT"),
    ):
        (tmp_path / "pyproject.toml").write_text(f"[project]\n{written}\n")
        assert read_licence(tmp_path).id == expected


def test_the_dataset_is_read_a_row_at_a_time(built: dict[str, Path]) -> None:
    stream = open_dataset(built["hermes"]).rows()
    assert next(stream)["id"] == "t1-0"
    assert len(list(stream)) == len(talks()) - 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"max_tokens": None}, "does not say the max_tokens"),
        ({"max_tokens": "many"}, "does not say the max_tokens"),
        ({"format": 7}, "does not say the format"),
        ({"deep": 0}, "nested too deeply"),
    ],
)
def test_a_manifest_that_lacks_what_is_needed(
    built: dict[str, Path], tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    folder = tmp_path / "data"
    shutil.copytree(built["hermes"], folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["settings"] |= change
    deep = '{"a":' * 100_000 + "1" + "}" * 100_000
    (folder / "manifest.json").write_text(json.dumps(manifest).replace('"deep": 0', f'"deep": {deep}'))
    with pytest.raises(DatasetError, match=rf"{said}.*|build the dataset again.*{said}"):
        export_dataset(folder, tmp_path / "out", "axolotl")
    assert not (tmp_path / "out").exists()
