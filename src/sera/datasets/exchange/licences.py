"""The licence of a source repository: which one it is, as far as its files tell, and its notice.

The identifier comes from the project's metadata if that names one, else from sentences that only this
licence has. It is a reading, not advice: what cannot be recognised is named `unknown`, and the text goes
along either way, since most licences ask for exactly that.
"""

import re
from pathlib import Path

from sera.environments.written import table, toml
from sera.errors import UsageError, boundary
from sera.records import Record

UNKNOWN = "unknown"
_NOTICES = re.compile(r"(licen[cs]e|copying|notice|unlicense|copyright)([-.].*)?", re.IGNORECASE)
_NOT_TEXT = frozenset({".py", ".json", ".toml", ".yml", ".yaml", ".js", ".html"})
_SENTENCES: tuple[tuple[str, str], ...] = (
    ("Apache-2.0", r"apache license,? version 2\.0"),
    ("AGPL-3.0", r"gnu affero general public license version 3"),
    ("LGPL-3.0", r"gnu lesser general public license version 3"),
    ("LGPL-2.1", r"gnu lesser general public license version 2\.1"),
    ("GPL-3.0", r"gnu general public license version 3"),
    ("GPL-2.0", r"gnu general public license version 2"),
    ("MPL-2.0", r"mozilla public license,? version 2\.0"),
    ("Unlicense", r"this is free and unencumbered software released into public domain"),
    ("ISC", r"permission to use, copy, modify, and/?(or)? ?distribute this software for any purpose"),
    ("MIT", r"permission is hereby granted, free of charge, to any person obtaining a copy"),
    ("PSF-2.0", r"python software foundation license version 2"),
    (
        "BSD-3-Clause",
        r"redistribution and use in source and binary forms.*(neither names? of|used to endorse or promote)",
    ),
    ("BSD-2-Clause", r"redistribution and use in source and binary forms"),
)
"""Licence → what stands near its beginning and in no other; the first that is found counts."""
_IDENTIFIER = re.compile(r"[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*")
_HEAD = 4_000
"""Characters read of a notice to recognise it: later sections name other licences too."""


class Notice(Record, frozen=True):
    """One licence file."""

    name: str
    """Its name in the repository."""
    text: str


class Licence(Record, frozen=True):
    """What a repository says of its licence."""

    repository: str
    id: str
    """An SPDX identifier, or `unknown`."""
    notices: tuple[Notice, ...] = ()


def read_licence(tree: Path, repository: str = "") -> Licence:
    """The licence of a checkout, by default named after its folder; `UsageError` if it is no folder."""
    with boundary(UsageError, f"the repository {tree} cannot be read"):
        names = sorted(path.name for path in tree.iterdir() if _is_notice(path))
        notices = tuple(Notice(name=name, text=(tree / name).read_text("utf-8", "replace")) for name in names)
    declared = _declared(tree / "pyproject.toml")
    found = (recognise(notice.text) for notice in notices)
    identifier = declared or next((name for name in found if name != UNKNOWN), UNKNOWN)
    return Licence(repository=repository or tree.resolve().name, id=identifier, notices=notices)


def recognise(text: str) -> str:
    """The SPDX identifier of a licence's text, or `unknown`."""
    plain = " ".join(text.lower().split())[:_HEAD].replace("the ", "")
    return next((name for name, sentence in _SENTENCES if re.search(sentence, plain)), UNKNOWN)


def _is_notice(path: Path) -> bool:
    return path.is_file() and bool(_NOTICES.fullmatch(path.name)) and path.suffix.lower() not in _NOT_TEXT


def _declared(file: Path) -> str:
    """What `pyproject.toml` names, if it is short enough to be an identifier."""
    licence = table(toml(file), "project").get("license", "")
    named = licence.get("text", "") if isinstance(licence, dict) else licence
    return named if isinstance(named, str) and _IDENTIFIER.fullmatch(named) else ""
