"""The shipped issue texts keep to the rules of `pull_request.md`; the loader takes the user's own."""

import re
from difflib import SequenceMatcher
from itertools import combinations
from pathlib import Path
from statistics import mean, median

import pytest

from sera.errors import ConfigError
from sera.generation.demonstrations import Demonstration, load_demonstrations

SHIPPED = load_demonstrations(None)

FORBIDDEN = {
    "says it is done": r"(?i)\b(fixed|solved|done) (in|by|with) (this|the) (pr|pull|patch|commit|change)",
    "closes something": r"(?i)\b(fixes|closes|resolves) #\d+",
    "offers a patch": r"(?i)\b(this|my|the attached) (pr|pull request|patch|diff)\b",
    "says what was changed": r"(?i)\b(i|we)( have|'ve)? (fixed|changed|replaced|refactored|rewr[io]t\w+)\b",
    "prescribes the change": r"(?i)\b(the|a|possible|suggested) (fix|solution) (is|would be|could be)\b",
    "names a test": r"\btest_\w+|\b\w+_test\b|\btests/|\bTest[A-Z]\w+",
    "shows a diff": r"(?m)^(diff --git|@@ |\+\+\+ )",
    "would end its own block": r"</?(output|example)>",
}


def named(demonstration: Demonstration) -> str:
    return demonstration.name


def test_there_are_enough_in_a_stable_order() -> None:
    names = [demonstration.name for demonstration in SHIPPED]
    assert len(names) >= 24
    assert names == sorted(set(names))
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in names)


def test_lengths_are_spread_as_those_of_real_issues() -> None:
    lengths = [len(demonstration.text) for demonstration in SHIPPED]
    assert 60 <= min(lengths) < 200
    assert 4_500 < max(lengths) <= 6_500
    assert 1_500 <= mean(lengths) <= 1_900
    assert 1_050 <= median(lengths) <= 1_350


@pytest.mark.parametrize("demonstration", SHIPPED, ids=named)
def test_a_text_keeps_to_the_rules(demonstration: Demonstration) -> None:
    broken = {
        why: found[0] for why, rule in FORBIDDEN.items() if (found := re.search(rule, demonstration.text))
    }
    assert not broken
    assert demonstration.text.count("```") % 2 == 0
    assert demonstration.text == demonstration.text.strip()


def test_no_two_texts_are_alike() -> None:
    titles = {demonstration.text.split("\n")[0] for demonstration in SHIPPED}
    assert len(titles) == len(SHIPPED)
    for one, other in combinations(SHIPPED, 2):
        words = SequenceMatcher(None, one.text.split(), other.text.split(), autojunk=False)
        assert words.quick_ratio() < 0.6 or words.ratio() < 0.6, (one.name, other.name)


def test_a_directory_gives_its_markdown_and_text_files(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("\ufeff\nsecond\n\n", "utf-8")
    (tmp_path / "a.txt").write_bytes(b"first\r\nline\r\n")
    (tmp_path / "empty.md").write_text(" \n")
    (tmp_path / "notes.rst").write_text("no")
    (tmp_path / "folder.md").mkdir()
    assert load_demonstrations(tmp_path) == (
        Demonstration(name="a", text="first\nline"),
        Demonstration(name="b", text="second"),
    )


def test_lines_give_texts_or_exported_issues(tmp_path: Path) -> None:
    source = tmp_path / "issues.jsonl"
    source.write_text(
        '\n{"text": "plain", "name": "own"}\n'
        '{"number": 12, "title": "Title", "body": "Body\\r\\nmore", "labels": []}\n'
        '{"title": "Only a title", "body": null}\n'
        '{"text": "  "}\n'
    )
    assert load_demonstrations(source) == (
        Demonstration(name="12", text="Title\n\nBody\nmore"),
        Demonstration(name="4", text="Only a title"),
        Demonstration(name="own", text="plain"),
    )


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"text": 3}', r"Expected `str"),
        ("{text}", r"malformed"),
        ('["a", "b"]', r"Expected `object`"),
        ('{"content": "x"}', r'has no "text"'),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, problem: str) -> None:
    source = tmp_path / "issues.jsonl"
    source.write_text('\n{"text": "good"}\n' + line)
    with pytest.raises(ConfigError, match=rf"issues\.jsonl, line 3: .*{problem}") as raised:
        load_demonstrations(source)
    assert 'an object with "text"' in str(raised.value)


@pytest.mark.parametrize("content", ["", "\n\n", '{"text": ""}\n'])
def test_nothing_usable_is_refused(tmp_path: Path, content: str) -> None:
    source = tmp_path / "issues.jsonl"
    source.write_text(content)
    with pytest.raises(ConfigError, match=r"issues\.jsonl: no text in it; give a directory"):
        load_demonstrations(source)


def test_an_unusable_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone: does not exist; give a directory"):
        load_demonstrations(tmp_path / "gone")
    (tmp_path / "one.md").write_text("a text")
    with pytest.raises(ConfigError, match=r"one\.md: cannot be used; give a directory"):
        load_demonstrations(tmp_path / "one.md")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    with pytest.raises(ConfigError, match=r"latin\.txt: must be readable UTF-8"):
        load_demonstrations(tmp_path)


def test_a_name_is_given_once(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("one")
    (tmp_path / "a.txt").write_text("two")
    with pytest.raises(ConfigError, match=r"two texts are named 'a'.*rename"):
        load_demonstrations(tmp_path)
