"""Which profile suits which languages, and how a profile is put together from another."""

from pathlib import Path

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
