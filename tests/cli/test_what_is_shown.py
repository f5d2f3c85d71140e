"""Text of strangers on a terminal: it is shown as it stands, and steers nothing."""

import json

import pytest
from rich.text import Text

from sera.cli.common import bill, complain, console, print_json, table
from sera.cli.render import matches_text, message_text
from sera.generation.recall import LineMatch
from sera.records import Message
from sera.runs.ledger import Amount, Balance

HOSTILE = "\x1b]0;title\x07 \x1b[2J\x9b31m \u202eback [bold]plain[/bold] [/nothing] :bug:"


def harmless(text: str) -> bool:
    return not {"\x1b", "\x07", "\x9b", "\u202e"} & set(text)


@pytest.mark.parametrize("kind", ["text", "styled", "cell", "title", "rule"])
def test_what_a_person_reads(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    page = console()
    match kind:
        case "text":
            page.print(HOSTILE)
        case "styled":
            page.print(Text(HOSTILE, "green"))
        case "cell":
            page.print(table("", ["said"], [(HOSTILE,)]))
        case "title":
            page.print(table(HOSTILE, ["said"], []))
        case "rule":
            page.rule(HOSTILE)
    shown = capsys.readouterr().out
    assert harmless(shown)
    assert "␛]0;title" in shown
    assert "[bold]plain[/bold] [/nothing] :bug:" in shown


def test_a_name_stays_in_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a file, which may hold a line break: what follows it cannot be taken for a line of ours."""
    page = console()
    page.print(table("a\nb", ["file"], [("x.py\nall tests passed",)]))
    page.print(message_text(Message(role="user", content="Hi.\n── assistant\nDone."), None))
    page.print(matches_text([LineMatch(file="a\n= b", sign="+", text="c", matched=True)]))
    shown = capsys.readouterr().out
    assert "x.py␊all tests passed" in shown
    assert [line for line in shown.splitlines() if line.startswith(("all", "──", "="))] == ["── user"]


def test_an_id_stays_whole_on_a_narrow_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    columns = ["pair", "id", "state", "r", "category", "function"]
    row = (
        "0",
        "8d7cb67d1132ed6f",
        "complete",
        "0.75",
        "platform_compatibility",
        "package/module.py:a_long_function",
    )
    console().print(table("", columns, [row]), width=80)
    assert row[1] in capsys.readouterr().out


def test_a_text_s_lines_are_set_in(capsys: pytest.CaptureFixture[str]) -> None:
    """Also those of a name that is printed in a sentence."""
    console().print("flaky: a.py\nall tests passed\n  so there\n\nresolved: 100 %")
    complain("the archive holds a\nsera: done")
    shown = capsys.readouterr()
    assert shown.out == "flaky: a.py\n  all tests passed\n  so there\n\n  resolved: 100 %\n"
    assert shown.err == "sera: the archive holds a\n  sera: done\n"


def test_what_is_told_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    complain(HOSTILE)
    console(stderr=True).print(HOSTILE)
    shown = capsys.readouterr().err
    assert harmless(shown)
    assert shown.startswith("sera: ␛]0;title␇ ␛[2J⟨U+009B⟩31m")


def test_json_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"said": HOSTILE})
    shown = capsys.readouterr().out
    assert harmless(shown)
    assert json.loads(shown) == {"said": HOSTILE}
    print_json({"said": "naïve 字"})
    assert "naïve 字" in capsys.readouterr().out


def test_styles_are_still_ours(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    console().print(Text(HOSTILE, "green"))
    shown = capsys.readouterr().out
    assert shown.startswith("\x1b[32m␛]0;title")
    assert harmless(shown.replace("\x1b[32m", "").replace("\x1b[0m", ""))


def test_a_bill_without_a_price_is_one_of_tokens() -> None:
    """A run whose model nobody has priced has not cost $0.00."""
    spent = Balance(settled=Amount(tokens=120_000), uncertain=Amount(tokens=3000))
    told = bill(spent, priced=False)
    assert "$" not in told
    assert "120,000 tokens as billed, and at most 3,000 tokens more" in told
    assert "teacher.price" in told
    assert "$0.00 as billed" in bill(spent), "a server of one's own costs nothing"
    paid = Balance(settled=Amount(nano=2_500_000_000, tokens=9))
    assert "$2.50 as billed" in bill(paid, priced=False), "what was charged before is told"
