"""Licences of files: by the head that a tool showed, else the repository's."""

import json

import pytest
from made_samples import SOURCE, call, patch, sample

from sera.datasets.safety.licences import file_licences, licence_of
from sera.datasets.sample import Sample
from sera.records import Message


@pytest.mark.parametrize(
    ("head", "licence"),
    [
        ("     1\t# SPDX-License-Identifier: MIT\n     2\timport os", "MIT"),
        ("/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */", "GPL-2.0-only OR BSD-2-Clause"),
        ("     1\t# Licensed under the Apache License,\n     2\t# Version 2.0 (the \"License\");", "Apache-2.0"),
        ("# Permission is hereby granted, free of\n# charge, to any person obtaining a copy", "MIT"),
        ("# See the LICENSE file.\nimport os", ""),
        ("import os", ""),
        ("x\n" * 5000 + "# SPDX-License-Identifier: MIT", ""),
    ],
)  # fmt: skip
def test_heads(head: str, licence: str) -> None:
    assert licence_of(head) == licence


def opened(*files: tuple[str, str], **changes: object) -> Sample:
    messages = [Message(role="system", content="You work.")]
    for number, (path, answer) in enumerate(files):
        arguments = json.dumps({"command": "view", "path": path})
        one = call("str_replace_editor", arguments)
        messages.append(
            Message(
                role="assistant", tool_calls=(type(one)(id=f"c{number}", name=one.name, arguments=arguments),)
            )
        )
        messages.append(Message(role="tool", content=answer, tool_call_id=f"c{number}"))
    return sample(messages=tuple(messages), **changes)


def test_a_file_counts_once_and_by_its_own_head() -> None:
    source = type(SOURCE)(repository="r", commit="c", run="run", licence="BSD-3-Clause")
    found = opened(
        ("/testbed/m0.py", "     1\timport os"),
        ("/testbed/m0.py", "     1\t# SPDX-License-Identifier: MIT"),
        ("/testbed/other.py", "     1\timport os"),
        ("/testbed", "m0.py\nother.py"),
        source=source,
        patch=patch("m0"),
    )
    assert file_licences(found) == {"MIT": 1, "BSD-3-Clause": 1}


def test_without_any_word_it_is_unknown() -> None:
    assert file_licences(opened(patch=patch("a"))) == {"unknown": 1}
    assert file_licences(opened(("/x/y.py", "1"), patch="no diff at all")) == {"unknown": 1}
