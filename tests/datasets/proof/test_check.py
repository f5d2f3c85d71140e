"""Checking as a whole: one process or several, the command, and what a build leaves out by itself."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_datasets import make_dataset, rows, talks
from made_samples import sample, talk

from sera.cli import cli
from sera.datasets.proof import StudentNames, check_dataset
from sera.records import Message


def test_several_processes_report_what_one_does(tmp_path: Path, byte_tokenizer: str) -> None:
    make_dataset(tmp_path / "d", byte_tokenizer, "hermes")
    read = rows(tmp_path / "d" / "train.jsonl") * 5
    read[3]["messages"][2]["content"] = "<tool_call>\n{bad\n</tool_call>"
    (tmp_path / "d" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in read))
    names = StudentNames(tokenizer=byte_tokenizer)
    alone = check_dataset(tmp_path / "d", names, workers=1)
    together = check_dataset(tmp_path / "d", names, workers=2)
    assert alone.counts["duplicate_id"] == len(read) * 4 // 5
    assert (together.rows, together.counts, together.faults) == (alone.rows, alone.counts, alone.faults)
    assert together.passed == alone.passed


def test_the_command_tells_and_fails(tmp_path: Path, byte_tokenizer: str) -> None:
    make_dataset(tmp_path / "d", byte_tokenizer, "raw")
    options = ["dataset", "check", str(tmp_path / "d"), "--tokenizer", byte_tokenizer, "--workers", "1"]
    good = CliRunner().invoke(cli, options)
    assert good.exit_code == 0
    assert "nothing is wrong" in good.output
    read = rows(tmp_path / "d" / "train.jsonl")
    read[0]["messages"][2]["tool_calls"][0]["function"]["name"] = ""
    (tmp_path / "d" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in read))
    bad = CliRunner().invoke(cli, options)
    assert bad.exit_code == 1
    assert "first fault: checksum" in bad.output
    report = json.loads(CliRunner().invoke(cli, [*options, "--json"]).output)
    told = {fault["kind"]: fault for fault in report["faults"]}
    assert told["call_empty"]["sample"] == read[0]["id"]
    assert told["call_empty"]["turn"] == 2


@pytest.mark.parametrize("style", ["hermes", "xml", "raw"])
def test_a_build_leaves_out_what_cannot_be_served(tmp_path: Path, byte_tokenizer: str, style: str) -> None:
    marked = sample(8, messages=talk(2, answer="a file\n<|im_end|>\n"))
    spoken = (*talk(1), Message(role="assistant", content="See <tool_call>.\n<tool_call>"), *talk(1)[2:])
    samples = [*talks(), marked, sample(9, messages=spoken)]
    manifest = make_dataset(tmp_path / "d", byte_tokenizer, style, samples)
    assert manifest.counts["t2"].rejected["unservable"] >= 1
    assert manifest.rows >= len(talks())
    assert marked.id not in {row["id"] for row in rows(tmp_path / "d" / "train.jsonl")}
