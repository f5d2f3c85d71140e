"""A harness profile: the prompts, tool definitions and observations of the agent, as one record.

A student is only as good as what it is served with resembles what it was trained on. So everything
it can read that is not code lives in one folder of data files, is saved with every run, and carries
a hash. A folder holds:

    system.md         system prompt of a rollout              task.md   first user message of a rollout
    change.md         the request of T1                       review.md answer to the first `submit`
    self_check.md     the yes/no question after T1            pull_request.md  asks for the text of T2
    tools.json        OpenAI tool definitions                 observations.toml  all answers of the tools
    categories.toml   the concern that each change category raises, for change.md

A folder may leave out files: if it has a file `base` with the name of a profile that ships with sera,
they are taken from there.

Placeholders are written `{{name}}`. A profile is looked through as a whole when it is read (`checking`), and
rendering refuses a missing and an unused name all the same.
"""

import tomllib
from collections.abc import Mapping
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from sera.errors import ConfigError, boundary
from sera.harness.checking import PLACEHOLDER, faults_of
from sera.records import Record, content_id

_PROMPTS = ("system", "task", "change", "review", "self_check", "pull_request")
_BEFORE = {
    "no_match_trailing": "no_match",
    "no_match_text": "no_match",
    "undone_file": "not_found",
    "undo_changed": "nothing_to_undo",
}
"""Answers that came later, and what a profile without them says, with the path alone."""
DEFAULT_PROFILE = "sera-1"
NEUTRAL_PROFILE = "sera-1-any"
"""The same words but for `python`, which stands nowhere in it."""
AUTO = "auto"


class Profile(Record, frozen=True, dict=True):
    """One harness profile. Saved whole with a run; equal hashes mean equal words."""

    name: str
    prompts: dict[str, str]
    """Name → template; the names are the Markdown files of the folder."""
    observations: dict[str, str]
    """Name → template of everything a tool can answer."""
    categories: dict[str, str]
    """Change category → the concern it raises, one or two sentences."""
    tools: list[dict[str, Any]]
    """Tool definitions in the chat-completions form."""

    @cached_property
    def hash(self) -> str:
        """`content_id` of everything but the name."""
        return content_id(self.prompts, self.observations, self.categories, self.tools)

    def prompt(self, template: str, **values: object) -> str:
        """Render one of the Markdown prompts."""
        return _render(self._words(self.prompts, template), f"{self.name}/{template}.md", values)

    def say(self, template: str, **values: object) -> str:
        """Render one of the tools' answers. A profile saved before there was such an answer gives one
        of its own that is true as well."""
        if template not in self.observations and template in _BEFORE:
            template = _BEFORE[template]
            values = {"path": values["path"]}
        words = self._words(self.observations, template)
        return _render(words, f"{self.name}/observations.toml: {template}", values)

    def _words(self, words: dict[str, str], template: str) -> str:
        if template not in words:
            raise ConfigError(
                f"the harness profile {self.name} ({self.hash}) has no words for {template!r}: that of "
                f"imported trajectories holds the tools only, and sera's agent cannot ask with it. Serve the "
                f"student to the agent that they came from"
            )
        return words[template]


def _render(template: str, where: str, values: dict[str, object]) -> str:
    wanted = set(PLACEHOLDER.findall(template))
    if wanted != values.keys():
        raise ConfigError(
            f"harness profile {where} uses {sorted(wanted) or 'no placeholders'}, "
            f"but {sorted(values) or 'none'} are filled in: make the template use exactly these"
        )
    return PLACEHOLDER.sub(lambda match: str(values[match[1]]), template)


def _read_table(file: Path) -> dict[str, str]:
    return msgspec.convert(tomllib.loads(file.read_text("utf-8")), dict[str, str])


def load_profile(source: str = DEFAULT_PROFILE) -> Profile:
    """Read a profile: the name of one that ships with sera, or a folder of your own.

    Raises `ConfigError` if a file of it is missing or malformed, or with all that is wrong with its words, as
    each would else show when it is said.
    """
    folder = _folder(source)
    if not folder.is_dir():
        known = ", ".join(sorted(one.name for one in (files("sera.harness") / "profiles").iterdir()))
        raise ConfigError(
            f"there is no harness profile {source!r}: known are {known}, or name a folder of your own"
        )
    with boundary(ConfigError, f"harness profile {source}", OSError, ValueError):
        base = _folder((folder / "base").read_text("utf-8").strip()) if (folder / "base").exists() else folder

        def file(name: str) -> Path:
            return folder / name if (folder / name).exists() else base / name

        read = Profile(
            name=folder.name,
            prompts={name: file(f"{name}.md").read_text("utf-8").rstrip("\n") for name in _PROMPTS},
            observations=_read_table(file("observations.toml")),
            categories=_read_table(file("categories.toml")),
            tools=msgspec.json.decode(file("tools.json").read_bytes(), type=list[dict[str, Any]]),
        )
    _refuse_faulty(read, source)
    return read


def _refuse_faulty(profile: Profile, source: str) -> None:
    """Measured by the shipped one, which is what the code fills in."""
    if profile.name == DEFAULT_PROFILE and _folder(source) == _folder(DEFAULT_PROFILE):
        return
    faults = faults_of(
        profile.prompts, profile.observations, profile.categories, profile.tools, load_profile(), _BEFORE
    )
    if faults:
        raise ConfigError(f"the harness profile {source} cannot be used: {'; '.join(faults)}")


def profile_for(languages: Mapping[str, int]) -> str:
    """Name of the profile that ships with sera for a repository with so many functions per language: the
    default where at least half are Python."""
    return DEFAULT_PROFILE if 2 * languages.get("python", 0) >= sum(languages.values()) else NEUTRAL_PROFILE


def _folder(source: str) -> Path:
    shipped = files("sera.harness") / "profiles" / source
    return Path(str(shipped)) if shipped.is_dir() else Path(source)
