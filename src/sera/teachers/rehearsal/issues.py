"""Writing an issue text about a change as if it had not been made, in the style of a demonstration.

What is said comes from the kinds' symptoms and wishes and from `issue_phrases.toml`; the measured
`Style` decides on its form and length. Symptom and place are always there, so the text suffices.
"""

import re
import tomllib
from functools import lru_cache
from importlib.resources import files

import msgspec

from sera.teachers.rehearsal.dice import Dice
from sera.teachers.rehearsal.edits import every_kind
from sera.teachers.rehearsal.evidence import Finding
from sera.teachers.rehearsal.style import Style, measure
from sera.teachers.rehearsal.tongues import tongue_of
from sera.teachers.rehearsal.voice import sentence

_TARGET = 60
_PARAGRAPH = 3
"""Sentences of a paragraph of notes."""
_CODE_LINES = 60


@lru_cache(maxsize=1)
def issue_phrases() -> dict[str, list[str]]:
    """Name → variants, from `issue_phrases.toml`."""
    text = (files("sera.teachers.rehearsal") / "issue_phrases.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, list[str]])


def write_issue(findings: list[Finding], demonstration: str, dice: Dice) -> str:
    """The text that somebody would file to ask for the change in `findings`, at least one."""
    writer = _Writer(findings, measure(demonstration.strip()), dice)
    return writer.text()


class _Writer:
    """Holds what all parts of one text need."""

    def __init__(self, findings: list[Finding], style: Style, dice: Dice) -> None:
        self._findings = findings
        self._style = style
        self._dice = dice

    def text(self) -> str:
        essential = self._symptoms() + self._places()
        shortest = " ".join(essential)
        if self._style.length < 1.6 * len(shortest) and not self._style.title:
            return self._short(shortest)
        head = [self._pick("greeting")] if self._style.greeting else []
        if self._style.title:
            head.insert(0, self._title())
        tail = [self._pick("closing")] if self._style.closing else []
        room = self._style.length - sum(len(part) + 2 for part in [*head, *tail])
        body = self._sections(room) if self._style.heading else self._paragraphs(room)
        return "\n\n".join(part for part in [*head, *body, *tail] if part)

    # ── sentences ─────────────────────────────────────────────────────────────────────────────────

    def _pick(self, name: str, *label: object, **values: object) -> str:
        return self._dice.pick(issue_phrases()[name], name, *label).format(**values)

    def _tick(self, text: str) -> str:
        return f"`{text}`" if self._style.ticks and "`" not in text else text

    def _case(self, text: str) -> str:
        """As the demonstration begins its sentences; a name stays as it is."""
        first = text.split(" ")[0]
        plain = first.isalpha() and first not in (finding.name for finding in self._findings)
        if self._style.lower and plain and first != "I":
            return text[:1].lower() + text[1:]
        return sentence(text) if plain else text if text.endswith((".", "!", "?")) else text + "."

    def _symptom(self, finding: Finding, turn: int = 0) -> str:
        """What is wrong with it, without a full stop; another `turn` words it differently."""
        alteration = finding.alteration
        target = " ".join(alteration.target.split())[:_TARGET]
        variants = every_kind()[alteration.kind].symptom
        variant = self._dice.pick([*variants[turn:], *variants[:turn]], "symptom", finding.name)
        return variant.format(name=self._tick(finding.name), target=self._tick(target))

    def _symptoms(self) -> list[str]:
        return [self._case(self._symptom(finding)) for finding in self._findings]

    def _wish(self, finding: Finding) -> str:
        target = " ".join(finding.alteration.target.split())[:_TARGET]
        variant = self._dice.pick(every_kind()[finding.alteration.kind].wish, "wish", finding.name)
        return self._case(variant.format(name=self._tick(finding.name), target=self._tick(target)))

    def _place(self, finding: Finding) -> str:
        with_line = finding.ambiguous or self._dice.chance(0.2, "line", finding.name)
        return self._pick(
            "location_with_line" if with_line else "location",
            finding.name,
            qualified=self._tick(finding.qualified),
            path=self._tick(finding.path),
            line=finding.line,
        )

    def _places(self) -> list[str]:
        first, *others = self._findings
        lines = [self._pick("place", place=self._place(first))]
        lines += [self._pick("also", other.name, place=self._place(other)) for other in others]
        return [self._case(line) for line in lines]

    def _facts(self, room: int) -> list[str]:
        """As many of the general sentences as fit."""
        chosen: list[str] = []
        for fact in self._dice.shuffle(issue_phrases()["fact"], "facts"):
            if room < len(fact):
                break
            chosen.append(self._case(fact))
            room -= len(fact) + 1
        return chosen

    # ── parts ─────────────────────────────────────────────────────────────────────────────────────

    def _title(self) -> str:
        finding = self._findings[0]
        symptom = self._symptom(finding, turn=1)
        title = self._pick("title", qualified=self._tick(finding.qualified), symptom=symptom)
        return title if self._style.lower or not title[:1].isalpha() or title.startswith(finding.name) else (
            title[:1].upper() + title[1:]
        )  # fmt: skip

    def _short(self, shortest: str) -> str:
        """One or two sentences."""
        if self._style.length >= len(shortest):
            return shortest
        return " ".join(f"{self._place(f)}: {self._symptom(f)}." for f in self._findings)

    def _listed(self, lines: list[str]) -> str:
        """Lines in the list style of the demonstration, or as a paragraph."""
        if self._style.numbered:
            return "\n".join(f"{n}. {line}" for n, line in enumerate(lines, 1))
        if self._style.checkbox and not self._style.bullet:
            return "\n".join(f"- [ ] {line}" for line in lines)
        if self._style.bullet:
            return "\n".join(f"{self._style.bullet} {line}" for line in lines)
        return " ".join(lines)

    def _code(self, room: int) -> str:
        """The beginning of the function as it stands, in a fence, as far as there is room."""
        code = self._findings[0].alteration.code
        lead = self._case(self._pick("code_lead")).removesuffix(".")
        lines: list[str] = []
        for line in code.lines[:_CODE_LINES]:
            room -= len(line) + 1
            if room < len(lead) + 16 and lines:
                break
            lines.append(line.removeprefix(code.indent))
        tongue = tongue_of(code.path)
        return f"{lead}\n\n```{tongue.fence if tongue else 'python'}\n" + "\n".join(lines) + "\n```"

    def _heading(self, name: str) -> str:
        text = self._pick(name)
        return f"**{text}**" if self._style.heading == "**" else f"{self._style.heading}{text}"

    def _sections(self, room: int) -> list[str]:
        wishes = [self._wish(finding) for finding in self._findings]
        parts = [
            self._heading("what"),
            " ".join(self._symptoms()),
            self._heading("where"),
            self._listed(self._places()),
            self._heading("expected"),
            " ".join(dict.fromkeys(wishes)),
        ]
        room -= sum(len(part) + 2 for part in parts)
        return parts + ([self._heading("notes")] if room > 120 else []) + self._rest(room - 20)

    def _paragraphs(self, room: int) -> list[str]:
        lines = [*self._symptoms(), *self._places()]
        wishes = list(dict.fromkeys(self._wish(finding) for finding in self._findings))
        listed = bool(self._style.bullet or self._style.numbered or self._style.checkbox)
        parts = [self._listed(lines) if listed else " ".join(lines)]
        room -= sum(len(part) + 2 for part in parts)
        if room > len(wishes[0]):
            parts.append(" ".join(wishes))
            room -= len(parts[-1]) + 2
        return parts + self._rest(room)

    def _rest(self, room: int) -> list[str]:
        """Notes and code that bring the text to the demonstration's length."""
        parts = []
        if (self._style.fence and room > 150) or room > 1800:
            parts.append(self._code(room * 2 // 3))
            room -= len(parts[-1]) + 2
        facts = self._facts(room)
        groups = [facts[n : n + _PARAGRAPH] for n in range(0, len(facts), _PARAGRAPH)]
        return [" ".join(group) for group in groups] + parts


def plain_text(text: str) -> str:
    """A text without backticks, emphasis and line ends, for recognising phrases in it."""
    return re.sub(r"\s+", " ", re.sub(r"[`*]", "", text))
