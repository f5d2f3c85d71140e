"""The list of what is kept for an evaluation, as it is written by hand."""

from pathlib import Path

import pytest

from sera.errors import ConfigError
from sera.generation.job import GenerateConfig, plan_job
from sera.repositories import IndexRules, index_functions
from sera.repositories.held_out import held_out_among, read_held_out


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
