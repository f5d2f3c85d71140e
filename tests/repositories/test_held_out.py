"""The list of what is kept for an evaluation, as it is written by hand."""

from pathlib import Path

import pytest
from repository_support import git, repository

from sera.datasets.from_runs import source_of
from sera.errors import ConfigError
from sera.evaluation.tasks.dealing import held_out
from sera.evaluation.tasks.record import Split
from sera.generation.job import GenerateConfig, plan_job
from sera.repositories import IndexRules, index_functions
from sera.repositories.held_out import held_out_among, read_held_out
from sera.repositories.history import bounds_among
from sera.runs import open_run, read_run


def test_what_counts_in_a_list(tiny_repo: Path, tmp_path: Path) -> None:
    file = tmp_path / "list"
    file.write_text("# kept\n\n   # and why\ntiny/text.py\n  tiny/numbers.py:Tally.add  \n")
    entries = read_held_out(file)
    assert entries == ("tiny/text.py", "tiny/numbers.py:Tally.add")
    functions = index_functions(tiny_repo).functions
    held = held_out_among(functions, entries)
    assert {one.name for one in functions if one.id in held} == {"shorten", "join_lines", "Tally.add"}
    assert held_out_among(functions, ["tiny/"]) == {
        one.id for one in functions if one.path.startswith("tiny/")
    }


@pytest.mark.parametrize("text", ["", "# nothing\n \n"])
def test_a_list_without_an_entry_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "list").write_text(text)
    with pytest.raises(ConfigError, match="has no entry"):
        read_held_out(tmp_path / "list")


def test_a_list_that_keeps_nothing_back_is_said(
    tiny_repo: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERA_CACHE", str(cache))

    def notice(*entries: str) -> str:
        config = GenerateConfig(functions=2, index=IndexRules(held_out=entries))
        return plan_job(str(tiny_repo), None, config).notice

    assert "names no function of" in notice("other/cart.py", "tiny/text.py:gone")
    assert notice("tiny/text.py") == notice() == ""


TEXT = (
    "def shorten(text, width=10):\n    if len(text) <= width:\n        return text\n    return text[:width]\n"
)


def test_a_run_does_not_start_behind_the_bound_of_a_list(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERA_CACHE", str(cache))
    root, other = tmp_path / "words", tmp_path / "other"
    for message in ("first", "second", "third"):
        repository(root, {"text.py": f"{TEXT}# {message}\n"}, message)
    first, second, third = git(root, "rev-list", "--reverse", "HEAD").split()
    held_out = ["text.py:join", f"@before {second} words"]

    def started(source: Path, revision: str = "") -> tuple[str, ...]:
        rules = IndexRules(held_out=tuple(held_out))
        config = GenerateConfig(functions=1, revision=revision, index=rules)
        job = plan_job(str(source), None, config)
        out = tmp_path / f"run-{source.name}-{revision}"
        with open_run(out, job.manifest, job.profile, job.tasks):
            return source_of(read_run(out)).before

    with pytest.raises(ConfigError, match=f"--set revision={second}") as caught:
        started(root)
    assert third[:12] in str(caught.value)
    assert started(root, second) == started(root, first) == (second,)
    repository(other, {"text.py": TEXT})
    assert started(other) == (second,)
    (tmp_path / "copies").mkdir()
    bare = tmp_path / "copies" / "words"
    git(tmp_path, "clone", "--quiet", str(root), str(bare))
    git(bare, "checkout", "--quiet", "--orphan", "new")
    git(bare, "commit", "--quiet", "-m", "squashed")
    with pytest.raises(ConfigError, match="keeps what came after"):
        started(bare)
    plain = tmp_path / "plain" / "words"
    plain.mkdir(parents=True)
    (plain / "text.py").write_text(TEXT)
    with pytest.raises(ConfigError, match="are of no commit"):
        started(plain)


@pytest.mark.parametrize("line", ["@before abc", "@after abc words"])
def test_a_bound_that_cannot_be_read_is_refused(line: str) -> None:
    with pytest.raises(ConfigError, match="write `@before COMMIT NAME`"):
        bounds_among([line])


def test_a_list_that_is_cut_off_is_none(tmp_path: Path) -> None:
    split = Split(unit="module", evaluation=("a.py", "b.py", "c.py"))
    file, whole = tmp_path / "held_out.txt", held_out("words", split)
    file.write_text(whole)
    assert read_held_out(file) == split.evaluation
    for end in range(whole.index("a.py"), len(whole)):
        file.write_text(whole[:end])
        with pytest.raises(ConfigError, match=r"is cut off.*sera tasks build"):
            read_held_out(file)
    file.write_text("# of before\na.py\n")
    assert read_held_out(file) == ("a.py",)
