"""What becomes of control characters, in what commands print and in what files hold."""

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sera.agent.controls import meant, printed, shown

ESC = "\x1b"


@pytest.mark.parametrize(
    ("raw", "read"),
    [
        (f"{ESC}[1;38;5;9mred{ESC}[0m and {ESC}[4munder{ESC}[m", "red and under"),
        ("\x9b32mgreen\x9b0m", "green"),
        (f"{ESC}]0;a title\x07prompt", "prompt"),
        (f"{ESC}]8;;http://x/{ESC}\\link{ESC}]8;;{ESC}\\ after", "link after"),
        (f"{ESC}P1$r0m{ESC}\\{ESC}_app{ESC}\\{ESC}^pm{ESC}\\kept", "kept"),
        (f"{ESC}(B{ESC}#8{ESC}7{ESC}=x{ESC}8{ESC}>{ESC}c", "x"),
        (f"{ESC}[?25l{ESC}[2J{ESC}[H{ESC}[10;3Hhere{ESC}[?25h", "here"),
        ("10%\r50%\r100%\ndone", "100%\ndone"),
        ("unpacking things\rok", "okpacking things"),
        (f"unpacking things\r{ESC}[Kok", "ok"),
        (f"unpacking things\r{ESC}[0Jok", "ok"),
        (f"unpacking things{ESC}[2K{ESC}[1Gok", "ok"),
        (f"keep this{ESC}[K", "keep this"),
        ("N\bNA\bAM\bME\bE", "NAME"),
        ("_\bw_\bo", "wo"),
        ("\b\b\bx", "x"),
        ("one\r\ntwo\r\n", "one\ntwo\n"),
        ("a\0b\x07c\x7f\x0b\x0c\x85", "a␀b␇c␡␋␌⟨U+0085⟩"),
        (f"alone {ESC}", "alone ␛"),
        (f"{ESC}]0;no end\nnext", "0;no end\nnext"),
        ("tab\tis kept, 漢字 and é too", "tab\tis kept, 漢字 and é too"),
    ],
)
def test_what_commands_print_is_read_as_on_a_screen(raw: str, read: str) -> None:
    assert printed(raw) == read


@given(
    st.text(
        alphabet=st.sampled_from([*"ab;0[]P\\KG2Jm\n\r\b\0\x07\x7f\x85\x90\x9b\x9c\x9d", ESC]), max_size=60
    )
)
def test_no_control_character_is_left(raw: str) -> None:
    for text in (printed(raw), shown(raw)):
        assert not [sign for sign in text if unicodedata.category(sign) == "Cc" and sign != "\n"]
    assert meant(shown(raw)) == raw


@pytest.mark.parametrize(
    "part",
    [
        f"{ESC}]", f"{ESC}[", "\x9d", "\x90", "\x9b1", f"{ESC}P{ESC}", f"{ESC}[2Kx", f"x{ESC}[K\r", "ab\r", "\b", f"{ESC}  ",
        f"{ESC}[1;", "x\n", "\x98a", f"{ESC}[31mx",
    ],
)  # fmt: skip
def test_the_work_is_linear(part: str) -> None:
    """A megabyte of anything is read within seconds, also on a busy machine; quadratic work would take hours."""
    flood = part * (1_000_000 // len(part))
    started = time.process_time()
    printed(flood)
    assert time.process_time() - started < 10
