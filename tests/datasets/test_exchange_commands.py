"""The commands of the exchange, from a trajectory of another project to an export."""

import json
from pathlib import Path

from click.testing import CliRunner, Result
from made_samples import TOOLS

from sera.cli.dataset import build, export, import_
from sera.datasets.exchange.export import EXPORTS
from sera.datasets.exchange.imports import IMPORTS
from sera.errors import UsageError

FILES = Path(__file__).parent / "exchange_files"


def run(command: object, *arguments: object) -> Result:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])  # type: ignore[arg-type]
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_from_a_trajectory_to_an_export(tmp_path: Path, byte_tokenizer: str) -> None:
    tools = tmp_path / "tools.json"
    tools.write_text(json.dumps(TOOLS))
    read = run(import_.command, FILES, "--from", "mini-swe-agent", "--out", tmp_path / "in", "--tools", tools)
    assert "2 trajectories from 2 files, 1 sources" in read.output
    assert "not told: recall, of 2" in read.output
    run(
        build.command,
        tmp_path / "in",
        "--out",
        tmp_path / "data",
        "--min-recall",
        0,
        "--tokenizer",
        byte_tokenizer,
    )
    written = run(export.command, tmp_path / "data", "--to", "trl", "--out", tmp_path / "out")
    assert "2 of 2 rows, chat_template.jinja, sft_config.json, train.jsonl" in written.output
    assert f"lost: {EXPORTS['trl'].lost}" in written.output
    told = run(
        export.command,
        tmp_path / "data",
        "--to",
        "hub",
        "--out",
        tmp_path / "hub",
        "--repository",
        tmp_path,
        "--json",
    )
    assert json.loads(told.output)["format"] == "hub"


def test_import_says_what_it_did_not_take(tmp_path: Path) -> None:
    talk = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    rows = [{"messages": talk, "exit_status": "submitted", "id": "a"}, {"messages": talk, "id": "b"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = run(
        import_.command,
        tmp_path / "a.jsonl",
        "--from",
        "openai",
        "--out",
        tmp_path / "in",
        "--harness",
        "sera-1",
    )
    assert "1 trajectories from 1 files" in read.output
    assert "not taken: 1 unknown_end" in read.output
    told = run(
        import_.command,
        tmp_path / "a.jsonl",
        "--from",
        "openai",
        "--out",
        tmp_path / "in",
        "--submitted",
        "--json",
    )
    assert (json.loads(told.output)["taken"], json.loads(told.output)["refused"]) == (2, {})


def test_a_harness_brings_its_own_tools(tmp_path: Path) -> None:
    tools = tmp_path / "tools.json"
    tools.write_text("[]")
    arguments = (
        FILES,
        "--from",
        "mini-swe-agent",
        "--out",
        tmp_path / "in",
        "--harness",
        "sera-1",
        "--tools",
        tools,
    )
    result = CliRunner().invoke(import_.command, [str(argument) for argument in arguments])
    assert isinstance(result.exception, UsageError)


def test_the_choices_are_the_formats_that_there_are() -> None:
    assert tuple(EXPORTS) == export.FORMATS
    assert tuple(IMPORTS) == import_.FORMATS
