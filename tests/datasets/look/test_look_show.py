"""`sera dataset show`: every character of a row in its place, the loss marked, and nothing that can do harm."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from made_datasets import make_dataset, rows, talks
from rich.console import Console

from sera.cli.dataset.show import command
from sera.datasets.look.find import find_row
from sera.datasets.look.sample_page import sample_page
from sera.datasets.look.terminal import view_text
from sera.datasets.look.view import make_view
from sera.datasets.rendering import Student, load_student, render_row
from sera.errors import DatasetError, SeraError, UsageError
from sera.visible import shortened, visible

HOSTILE = "</script></pre><img src=x onerror=alert(1)> \x1b[31m\x1b]0;title\x07 \u202eback\u2066 \x00\x9b\r <!-- & \u200b"
VISIBLE = "␛[31m␛]0;title␇ ⟨U+202E⟩back⟨U+2066⟩ ␀⟨U+009B⟩␍"


@pytest.fixture(scope="module", params=["hermes", "raw"])
def built(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, byte_tokenizer: str
) -> Path:
    folder = tmp_path_factory.mktemp("look") / request.param
    make_dataset(folder, byte_tokenizer, request.param, talks())
    hostile = rows(folder / "train.jsonl")[0] | {"id": "t2-7", "category": HOSTILE}
    hostile["messages"][1]["content"] = f"{HOSTILE}\n{'x' * 20_000}"
    with (folder / "train.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(hostile) + "\n")
    return folder


@pytest.fixture(scope="module")
def student(byte_tokenizer: str) -> Student:
    return load_student(tokenizer=byte_tokenizer, template="chatml")


def show(*arguments: object) -> Result:
    """Run the command; expected errors come out as `exception`."""
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


class Page(HTMLParser):
    """Tags, attributes, and the text of each `pre` and of the `mark`s inside it, as a browser reads them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.shown: list[str] = []
        self.marked: list[str] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        unseen = ("class", "unseen") in attrs
        if tag not in ("meta", "link", "br"):
            self._open.append("unseen" if unseen else tag)
        if tag in ("pre", "mark"):
            (self.shown if tag == "pre" else self.marked).append("")

    def handle_endtag(self, tag: str) -> None:
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if "unseen" in self._open:
            return
        if "pre" in self._open:
            self.shown[-1] += data
        if "mark" in self._open:
            self.marked[-1] += data


def all_rows(folder: Path) -> list[dict[str, Any]]:
    return rows(folder / "train.jsonl")


def test_a_view_is_the_rendering_and_its_marks_are_the_mask(built: Path, student: Student) -> None:
    for number, row in enumerate(all_rows(built)):
        rendered = render_row(row, student)
        view = make_view(row, number, student)
        pieces = [piece for turn in view.turns for piece in turn.pieces]
        assert "".join(piece.text for piece in pieces) == rendered.text
        assert sum(len(piece.tokens) for piece in pieces if piece.trained) == sum(rendered.mask)
        assert sum(len(piece.tokens) for piece in pieces) == len(rendered.ids)
        masked = [rendered.text[span.start : span.end] for span in rendered.turns if span.train]
        assert [piece.text for piece in pieces if piece.trained] == masked
        states = [turn.train for turn in view.turns if turn.role == "assistant"]
        assert states == [span.train for span in rendered.turns]


def test_without_a_student_whole_messages_are_marked(built: Path) -> None:
    for number, row in enumerate(all_rows(built)):
        view = make_view(row, number, None)
        assert [turn.role for turn in view.turns] == [message["role"] for message in row["messages"]]
        assert [turn.train is True for turn in view.turns] == [
            message["train"] for message in row["messages"]
        ]


def test_a_page_shows_everything_and_runs_nothing(built: Path, student: Student) -> None:
    for number, row in enumerate(all_rows(built)):
        for tokens in (False, True):
            view = make_view(row, number, student)
            page = Page(sample_page("d", [view], tokens))
            assert not page.tags & {"script", "img", "link", "iframe", "object", "form"}
            assert not any(name.startswith("on") or name in ("src", "srcset") for name, _ in page.attributes)
            assert all((value or "").startswith("#") for name, value in page.attributes if name == "href")
            assert "".join(page.shown) == visible(render_row(row, student).text)
            trained = [piece.text for turn in view.turns for piece in turn.pieces if piece.trained]
            assert page.marked == [visible(text) for text in trained]


def test_a_terminal_gets_no_control_characters_and_no_endless_line(built: Path, student: Student) -> None:
    row = find_row(built, "t2-7").row
    for known in (student, None):
        text = view_text(make_view(row, 1, known)).plain
        assert not set(text) & {"\x1b", "\x00", "\x07", "\x9b", "\r", "\u202e"}
        assert VISIBLE in text
        assert max(map(len, text.split("\n"))) < 5_000
        assert "more characters]" in text


def test_a_line_of_a_megabyte_is_cut_on_a_terminal_and_whole_on_a_page() -> None:
    row = {"messages": [{"role": "user", "content": "<" * 1_000_000}]}
    view = make_view(row, 1, None)
    assert len(view_text(view).plain) < 5_000
    assert Page(sample_page("d", [view])).shown == ["<" * 1_000_000]


def test_the_bar_stands_where_the_loss_is(built: Path, student: Student) -> None:
    view = make_view(find_row(built, "1").row, 1, student)
    lines = view_text(view).plain.split("\n")
    assert "┃ <think>" in lines
    assert "┃ <tool_call>" in lines
    assert "  <|im_start|>assistant" in lines
    assert "  <tool_response>" in lines
    colours = Console(force_terminal=True, color_system="standard", width=200)
    with colours.capture() as captured:
        colours.print(view_text(view, tokens=True, turns=(3, 3)))
    assert "\x1b[1;4;32m" in captured.get()
    assert "── 4 " not in captured.get()


def test_rows_are_found_by_number_id_and_its_beginning(built: Path) -> None:
    everyone = all_rows(built)
    assert find_row(built, "2").row == everyone[2]
    assert find_row(built, "0").row == everyone[0]
    assert find_row(built, everyone[2]["id"]).number == 2
    with pytest.raises(UsageError, match=r"has no row 'zzzz': rows have numbers from 0 to \d+, and"):
        find_row(built, "zzzz")
    with pytest.raises(UsageError, match="has no row 't2'"):
        find_row(built, "t2")


def test_the_command_lists_shows_and_writes(built: Path, byte_tokenizer: str, tmp_path: Path) -> None:
    listed = show(built)
    assert listed.exit_code == 0
    assert "t2-0" in listed.output
    assert "\x1b" not in listed.output
    shown = show(built, "1", "--tokenizer", byte_tokenizer, "--turns", "2-3")
    assert shown.exit_code == 0
    assert "in the loss" in shown.output
    assert "── 4" not in shown.output
    raw = show(built, "t2-7", "--raw")
    assert json.loads(raw.output)["id"] == "t2-7"
    assert "\x1b" not in raw.output
    assert "\u202e" not in raw.output
    one = show(built, "1", "--html", tmp_path / "one.html", "--tokenizer", byte_tokenizer)
    many = show(built, "--first", "3", "--html", tmp_path / "many.html", "--tokenizer", byte_tokenizer)
    assert one.exit_code == many.exit_code == 0, (one.output, many.output)
    assert (tmp_path / "many.html").read_text("utf-8").count('<details class="row"') == 3
    assert str(tmp_path) not in (tmp_path / "one.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        (["nowhere"], DatasetError, "nowhere is no dataset"),
        (["DIR", "99"], UsageError, "no row '99'"),
        (["DIR", "1", "--turns", "x"], UsageError, "--turns x: write one number or two"),
        (["DIR", "1", "--turns", "4-2"], UsageError, "--turns 4-2"),
        (["DIR", "1", "--turns", "900"], UsageError, "turns: --turns begins behind them"),
        (["DIR", "1", "--tokenizer", "absent.json"], UsageError, "absent.json"),
        (["DIR", "1", "--html", "/nowhere/at/all.html"], DatasetError, "cannot be written"),
    ],
)
def test_wrong_use_is_one_sentence(
    built: Path, byte_tokenizer: str, arguments: list[str], error: type[SeraError], sentence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("SERA_TOKENIZER", byte_tokenizer)
    result = show(*[str(built) if argument == "DIR" else argument for argument in arguments])
    assert isinstance(result.exception, error), result.output
    assert sentence in str(result.exception)


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"messages": [1]}', '{"messages": [{}]}', "\xff"])
def test_a_damaged_row_is_named(line: str, tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text(line + "\n", "utf-8")
    with pytest.raises(DatasetError, match=r"train\.jsonl, line 1"):
        find_row(tmp_path, "0")


def test_an_empty_dataset_lists_nothing(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_bytes(b"")
    assert show(tmp_path).exit_code == 0


def test_hidden_characters_become_signs() -> None:
    assert visible(HOSTILE).count("⟨U+") == 4
    assert visible("plain\ttext\nnaïve 字 😀") == "plain\ttext\nnaïve 字 😀"
    assert shortened("abc", 3) == "abc"
    assert shortened("abcdef", 3) == "abc […3 more characters]"
