"""`sera dataset stats`: right figures, whatever the rows hold, in memory that does not grow with them."""

import json
import subprocess
import sys
import tracemalloc
from array import array
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from click.testing import CliRunner, Result
from made_datasets import make_dataset, rows, talks
from made_samples import agreement, call, sample, talk

from sera.cli.dataset.stats import command
from sera.datasets.look.statistics import Survey, bins, called, spread, survey
from sera.datasets.look.stats_page import PAGE, write_plots
from sera.datasets.manifest import read_manifest
from sera.datasets.rendering import load_student, render_row
from sera.errors import DatasetError

PLOTS = ("tokens", "ratio", "recall", "categories", "steps", "tools", "patches")


@pytest.fixture(scope="module", params=["hermes", "xml", "raw"])
def built(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, byte_tokenizer: str
) -> Path:
    folder = tmp_path_factory.mktemp("stats") / request.param
    odd = sample(
        9, messages=talk(2), category="<b>$x$ \x1b", path="</svg><script>", agreement=agreement(0.25)
    )
    make_dataset(folder, byte_tokenizer, request.param, [*talks(), odd])
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, byte_tokenizer: str) -> Path:
    """One in any format, for what does not depend on it."""
    folder = tmp_path_factory.mktemp("stats") / "plain"
    odd = sample(9, messages=talk(2), category="<b>$x$ \x1b", path="</svg><script>")
    make_dataset(folder, byte_tokenizer, "hermes", [*talks(), odd])
    return folder


def stats(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_figures_are_those_of_the_rows(built: Path, byte_tokenizer: str) -> None:
    student = load_student(tokenizer=byte_tokenizer, template="chatml")
    everyone = rows(built / "train.jsonl")
    rendered = [render_row(row, student) for row in everyone]
    found = survey(built, student).result()
    assert found.rows == len(everyone)
    assert found.stages == {"t2": 5, "t1": 2}
    assert found.tokens.quantiles["1"] == max(row["tokens"] for row in everyone)
    assert found.loss.tokens == sum(len(one.ids) for one in rendered)
    assert found.loss.trained_tokens == sum(sum(one.mask) for one in rendered)
    assert found.loss.untrained_turns == read_manifest(built).untrained_turns == 1
    assert found.recall_bins[2] == 1
    assert found.recall_bins[9] == 6
    trained = [message for row in everyone for message in row["messages"] if message["role"] == "assistant"]
    assert found.loss.trained_turns == len(trained) - 1
    assert found.tools["bash"] >= 12
    assert found.tools["str_replace_editor"] == 1
    assert found.patch_lines is not None
    assert found.patch_lines.quantiles["0.5"] == 2


def test_quantiles_are_values_of_rows_and_bins_closed_at_the_end() -> None:
    assert spread(array("I", range(101))).quantiles == {
        "0": 0, "0.1": 10, "0.25": 25, "0.5": 50, "0.75": 75, "0.9": 90, "0.99": 99, "1": 100,
    }  # fmt: skip
    assert spread(array("I")).mean == 0
    assert bins([0, 0.099, 0.1, 0.3, 0.7, 0.999, 1]) == [2, 1, 0, 1, 0, 0, 0, 1, 0, 2]


def test_calls_are_named_however_they_are_written() -> None:
    hermes = '<think>\n<tool_call>\n{"name": "no"}\n</think>\n\n<tool_call>\n{"name": "bash", "arguments": {}}\n</tool_call>'
    assert called({"content": hermes}) == ["bash"]
    assert called({"content": "<tool_call>\n<function=submit>\n</function>\n</tool_call>"}) == ["submit"]
    assert called({"content": "", "tool_calls": [{"function": {"name": "a"}}, {}]}) == ["a", ""]
    assert called({"content": None}) == []


def test_the_command_prints_tables_or_data(built: Path) -> None:
    text = stats(built)
    assert text.exit_code == 0, text.exception
    for words in ("Rows by r", "Calls by tool", "Licences", "Found by the scan", "untrained turns", "█"):
        assert words in text.output
    assert "\x1b" not in text.output
    data = stats(built, "--json")
    assert json.loads(data.output)["statistics"]["rows"] == 7


def test_figures_and_page_are_whole_and_harmless(plain: Path, tmp_path: Path) -> None:
    result = stats(plain, "--plots", tmp_path / "a")
    assert result.exit_code == 0, result.exception
    names = {file.name for file in (tmp_path / "a").iterdir()}
    assert names == {*(f"{name}.{kind}" for name in PLOTS for kind in ("svg", "png")), PAGE}
    for name in PLOTS:
        assert (tmp_path / "a" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        tree = ElementTree.parse(tmp_path / "a" / f"{name}.svg")
        assert not [element for element in tree.iter() if element.tag.endswith(("script", "image"))]
    page = (tmp_path / "a" / PAGE).read_text("utf-8")
    assert page.count("<figure>") == page.count('role="img"') == len(PLOTS)
    assert "<script" not in page
    assert "\x1b" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    ids = [part.split('"')[0] for part in page.split(' id="')[1:]]
    assert len(ids) == len(set(ids))
    stats(plain, "--plots", tmp_path / "b")
    assert (tmp_path / "b" / PAGE).read_bytes() == (tmp_path / "a" / PAGE).read_bytes()


def test_no_rows_at_all_and_one(plain: Path, tmp_path: Path) -> None:
    for lines in (b"", (plain / "train.jsonl").read_bytes().split(b"\n")[0] + b"\n"):
        folder = tmp_path / str(len(lines))
        folder.mkdir()
        (folder / "train.jsonl").write_bytes(lines)
        (folder / "manifest.json").write_bytes((plain / "manifest.json").read_bytes())
        assert write_plots("d", survey(folder), read_manifest(folder), folder / "plots")
        result = stats(folder)
        assert result.exit_code == 0, result.exception


def test_wrong_places_are_one_sentence(plain: Path, tmp_path: Path) -> None:
    result = stats(tmp_path)
    assert isinstance(result.exception, DatasetError)
    assert "is no dataset: there is no manifest.json in it. `sera dataset build RUN --out" in str(
        result.exception
    )
    (tmp_path / "file").write_text("", "utf-8")
    result = stats(plain, "--plots", tmp_path / "file")
    assert isinstance(result.exception, DatasetError)
    assert "cannot be written" in str(result.exception)


def test_a_row_costs_a_few_bytes() -> None:
    row = {
        "messages": [{"role": "assistant", "content": "x" * 10_000, "train": True}],
        "tokens": 9,
        "patch_lines": 3,
    }
    kept = Survey()
    kept.add(row)
    tracemalloc.start()
    for _ in range(20_000):
        kept.add(row)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 20_000 * 40


def test_figures_are_not_loaded_for_tables(plain: Path) -> None:
    script = f"import sys; from sera.cli.dataset.stats import command; command([{str(plain)!r}], standalone_mode=False); assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, timeout=60)


def test_canaries_and_findings_stand_in_the_tables(plain: Path, tmp_path: Path) -> None:
    manifest = read_manifest(plain)
    canary = {"row": "r1", "run": "run-1", "prompt": "Reference ab has the number ", "secret": "012345678"}
    tallies = {
        "scan/e-mail/report/values": 3, "scan/e-mail/report/rows": 2, "scan/e-mail/report/in/tool": 3,
        "scan/jwt/earlier/values": 4, "licence/MIT": 9,
    }  # fmt: skip
    changed = msgspec.to_builtins(manifest) | {"canaries": [canary], "row_tallies": tallies}
    (tmp_path / "train.jsonl").write_bytes((plain / "train.jsonl").read_bytes())
    (tmp_path / "manifest.json").write_bytes(msgspec.json.encode(changed))
    text = stats(tmp_path).output
    for words in ("Canaries: 1", "012345678", "e-mail", "tool 3", "earlier", "MIT"):
        assert words in text, words


def test_call_is_counted_once_for_each_turn(tmp_path: Path, byte_tokenizer: str) -> None:
    both = sample(0, messages=talk(2, last=call("submit", "{}")))
    make_dataset(tmp_path / "d", byte_tokenizer, "hermes", [both])
    assert survey(tmp_path / "d").result().tools == {"bash": 1, "submit": 1}
