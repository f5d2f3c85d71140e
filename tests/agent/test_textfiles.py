"""Encodings and byte order marks of the files that are edited."""

import pytest

from sera.agent.textfiles import NEW, read

LATIN = "# -*- coding: latin-1 -*-\nname = 'Müller'\n"


@pytest.mark.parametrize(
    ("path", "head", "encoding"),
    [
        ("a.py", "# -*- coding: iso-8859-15 -*-\n", "iso8859-15"),
        ("a.py", "#!/usr/bin/python\n# vim: set fileencoding=cp1252 :\n", "cp1252"),
        ("a.py", "\n# coding=latin1\n", "iso8859-1"),
        ("tool", "#!/usr/bin/env python3\n# coding: latin-1\n", "iso8859-1"),
        ("a.rb", "# encoding: ISO-8859-1\n", "iso8859-1"),
        ("a.xml", '<?xml version="1.0" encoding="iso-8859-1"?>\n', "iso8859-1"),
        ("a.html", '<meta charset="windows-1252">\n', "cp1252"),
        ("a.el", ";; -*- mode: lisp; coding: latin-1 -*-\n", "iso8859-1"),
    ],
)
def test_a_file_in_the_encoding_that_it_names(path: str, head: str, encoding: str) -> None:
    content = (head + "é = 1\n").encode(encoding)
    file = read(path, content)
    assert (file.text, file.encoding) == (head + "é = 1\n", encoding)
    assert file.rewritten(path, file.text) == content
    assert file.rewritten(path, file.text + "ü\n") == content + "ü\n".encode(encoding)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("a.py", b"x = '\xe9'\n"),
        ("a.py", b"# coding: no-such-codec\ny = '\xe9'\n"),
        ("a.py", b"# coding: utf-16\ny = '\xe9'\n"),
        ("a.py", b"# coding: punycode\n" + b"\xe9" * 200_000),
        ("a.py", b"# coding: unicode_escape\n\\x41\xe9"),
        ("a.txt", b"\xff\xfe\x00"),
        ("a.txt", b"encoding: zip \xe9"),
        ("a.txt", b"\xef\xbb\xbfcoding: latin-1 \xe9"),
        ("a.py", b"# coding: gb2312\nx = '\xe9'\n"),
    ],
)
def test_what_cannot_be_read_and_written_back_is_no_text(path: str, content: bytes) -> None:
    with pytest.raises(UnicodeDecodeError):
        read(path, content)


def test_a_python_file_is_written_as_it_then_says() -> None:
    file = read("a.py", LATIN.encode("latin-1"))
    with pytest.raises(UnicodeEncodeError):
        file.rewritten("a.py", LATIN + "# 漢\n")
    for text in (LATIN.replace("latin-1", "utf-8") + "# 漢\n", LATIN.partition("\n")[2]):
        assert file.rewritten("a.py", text) == text.encode()
    assert NEW.rewritten("new.py", LATIN) == LATIN.encode("latin-1")
    assert NEW.rewritten("new.txt", LATIN) == LATIN.encode()


def test_bytes_that_are_both_are_what_python_takes_them_for() -> None:
    """And UTF-8 where the encoding that is named cannot be."""
    both = b"# coding: latin-1\nx = '\xc3\xa9'\n"
    assert read("a.py", both).text.endswith("'Ã©'\n")
    assert read("a.txt", both).text.endswith("'é'\n")
    assert read("a.py", both.replace(b"latin-1", b"ascii")).text.endswith("'é'\n")


def test_a_byte_order_mark_stays_first() -> None:
    content = b"\xef\xbb\xbf# coding: utf-8\nx = 1\n"
    file = read("a.py", content)
    assert file.text.startswith("# coding")
    assert file.rewritten("a.py", "y = 2\n" + file.text) == b"\xef\xbb\xbfy = 2\n" + content[3:]
