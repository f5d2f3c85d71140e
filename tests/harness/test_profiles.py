"""Which profile suits which languages, and how a profile is put together from another."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sera.errors import ConfigError
from sera.harness import NEUTRAL_PROFILE, load_profile, profile_for


def test_the_released_profile_keeps_its_words() -> None:
    """Whoever changes them changes what students are trained on, and says so in the change log."""
    assert load_profile("sera-1").hash == "e266d4a9f34faa74"


def test_the_neutral_profile_names_no_language_and_differs_in_nothing_else() -> None:
    default, neutral = load_profile("sera-1"), load_profile(NEUTRAL_PROFILE)
    words = [*neutral.prompts.values(), *neutral.observations.values(), *neutral.categories.values()]
    assert not [text for text in words if "python" in text.lower()]
    assert {name for name in default.prompts if default.prompts[name] != neutral.prompts[name]} == {"task"}
    assert (neutral.observations, neutral.categories, neutral.tools) == (
        default.observations,
        default.categories,
        default.tools,
    )


@pytest.mark.parametrize(
    ("languages", "name"),
    [
        ({}, "sera-1"),
        ({"python": 3}, "sera-1"),
        ({"python": 3, "go": 3}, "sera-1"),
        ({"python": 3, "go": 2, "rust": 2}, NEUTRAL_PROFILE),
        ({"java": 1}, NEUTRAL_PROFILE),
    ],
)
def test_the_profile_for_a_repository(languages: dict[str, int], name: str) -> None:
    assert profile_for(languages) == name


def test_a_folder_takes_what_it_lacks_from_its_base(tmp_path: Path) -> None:
    (tmp_path / "base").write_text("sera-1\n", "utf-8")
    (tmp_path / "system.md").write_text("Be brief.\n", "utf-8")
    own = load_profile(str(tmp_path))
    assert own.prompts == load_profile("sera-1").prompts | {"system": "Be brief."}
    (tmp_path / "base").write_text("no-such-profile\n", "utf-8")
    with pytest.raises(ConfigError, match="harness profile"):
        load_profile(str(tmp_path))


# ── looked through before a run ───────────────────────────────────────────────────────────────────


def own_profile(folder: Path, **files: str) -> str:
    (folder / "base").write_text("sera-1\n", "utf-8")
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, "utf-8")
    return str(folder)


def tools_with(change: Callable[[list[Any]], object]) -> str:
    tools = json.loads(json.dumps(load_profile("sera-1").tools))
    change(tools)
    return json.dumps(tools)


def observations_with(**changed: str | None) -> str:
    words = load_profile("sera-1").observations | changed
    return "".join(f"{name} = {json.dumps(text)}\n" for name, text in words.items() if text is not None)


@pytest.mark.parametrize(
    ("file", "text", "fault"),
    [
        ("change__md", "Look at {{function}} in {{path}}: {{concern}}", "change.md lacks {{line}}"),
        (
            "task__md",
            "{{request}} in {{workdir}} for {{user}}",
            "task.md has {{user}}, which nothing fills in",
        ),
        (
            "task__md",
            "{{ request }} in {{workdir}}",
            "task.md writes request in other braces than {{request}}",
        ),
        ("observations__toml", observations_with(no_call=None), "observations.toml: no_call is missing"),
        (
            "observations__toml",
            observations_with(created="Done."),
            "observations.toml: created lacks {{path}}",
        ),
        ("observations__toml", observations_with(no_cal="Hm."), "observations.toml: no_cal is never said"),
        ("categories__toml", "", "categories.toml has no category"),
        ("categories__toml", 'naming = " "', "naming raises no concern"),
        ("tools__json", tools_with(lambda tools: tools.pop()), "lacks the tool submit"),
        ("tools__json", tools_with(lambda tools: tools.append(tools[0])), "bash stands there twice"),
        (
            "tools__json",
            tools_with(lambda tools: tools[0]["function"].pop("parameters")),
            "tool 1: Object missing",
        ),
        (
            "tools__json",
            tools_with(lambda tools: tools[0]["function"]["parameters"].pop("required")),
            "`required`",
        ),
        (
            "tools__json",
            tools_with(lambda tools: tools[0]["function"].update(name="shell")),
            "shell is no tool of",
        ),
        (
            "tools__json",
            tools_with(
                lambda tools: tools[0]["function"]["parameters"]["properties"].update(when={"type": "string"})
            ),
            "has the parameter when",
        ),
        (
            "tools__json",
            tools_with(lambda tools: tools[0]["function"]["parameters"].update(required=[])),
            "bash does not require command",
        ),
        (
            "tools__json",
            tools_with(
                lambda tools: tools[1]["function"]["parameters"]["properties"]["path"].update(type="number")
            ),
            "tool 2: Invalid enum value 'number'",
        ),
    ],
)
def test_a_profile_is_looked_through_before_a_run(tmp_path: Path, file: str, text: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(fault)):
        load_profile(own_profile(tmp_path, **{file: text}))


def test_all_faults_of_a_profile_are_told_at_once(tmp_path: Path) -> None:
    wrong = own_profile(tmp_path, task__md="Do {{request}}", review__md="Look.", categories__toml="")
    with pytest.raises(ConfigError) as caught:
        load_profile(wrong)
    for fault in ("task.md lacks {{workdir}}", "review.md lacks {{diff}}", "no category"):
        assert fault in str(caught.value)


def test_answers_that_came_later_may_be_missing(tmp_path: Path) -> None:
    words = observations_with(no_match_trailing=None, no_match_text=None, undone_file=None, undo_changed=None)
    load_profile(own_profile(tmp_path, observations__toml=words))
