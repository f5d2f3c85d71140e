"""A student: its tokenizer, its chat template, and the tokens that mean something in both.

Named by family (`qwen3`, `qwen2.5`, `smollm2`), whose facts are the data files in `profiles/`; or by a
folder with `tokenizer.json`, `tokenizer_config.json` and perhaps `chat_template.jinja`, as models have it.
Nothing is ever downloaded.
"""

import tomllib
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from sera.datasets.rendering.template import CHATML, Template, load_template
from sera.datasets.tokens import Encoder, read_tokenizer
from sera.errors import DatasetError, UsageError, boundary
from sera.records import Record

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class Profile(Record, frozen=True, kw_only=True):
    """What is known of a family of students."""

    title: str
    start: str
    """Begins a turn, with the role."""
    end: str
    """Ends a turn: the token the student stops at."""
    bos: str
    """Put before a conversation, empty for none."""
    pad: str
    """Fills a batch up; not `end`, which would be masked with it."""
    template: str
    """The template to train and serve with, if none is asked for."""
    hint: str = ""
    """What its own template does to a conversation."""
    tools: bool
    reasoning: bool
    tokens: dict[str, int]
    """Text → id, by which its vocabulary is known."""


class Student(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One tokenizer with one template."""

    name: str
    """A family's, or `another`."""
    encoder: Encoder
    template: Template
    end: str
    bos: str = ""
    pad: str | None = None
    """Empty if it has none, None if that is not known."""
    start: str = ""
    hint: str = ""

    @property
    def tokenizer(self) -> "Tokenizer":
        """The library's."""
        return self.encoder.tokenizer

    @property
    def tokenizer_sha256(self) -> str:
        """Of its file."""
        return self.encoder.sha256

    @property
    def marks(self) -> tuple[str, ...]:
        """Texts that the tokenizer reads as the structure of a conversation, wherever they stand."""
        return tuple(sorted({self.start, self.end, self.bos, self.pad or ""} - {""}))

    @cached_property
    def end_id(self) -> int | None:
        """Id of the token that ends a turn; None if it is not one token."""
        number: int | None = self.tokenizer.token_to_id(self.end)
        return number

    @cached_property
    def cuts(self) -> bool:
        """Whether a text may be tokenised in pieces, cut before every mark that begins a turn: that mark, and
        the one that ends a turn, must be tokens which the tokenizer takes out of a text first."""
        taken_out = {token.content for token in self.tokenizer.get_added_tokens_decoder().values()}
        if not self.start or not self.template.marks.before.startswith(self.start):
            return False
        if {self.start, self.end} - taken_out:
            return False
        pieces = [
            f"{self.start}user\n  12 a{self.end}\n \n",
            f"{self.start} b ",
            f"{self.start}\n c{self.end} d",
        ]
        whole: list[int] = self.tokenizer.encode("".join(pieces), add_special_tokens=False).ids
        return whole == [number for ids in self.encode(pieces) for number in ids]

    def decode(self, ids: list[int]) -> str:
        """The text of tokens, marks included."""
        text: str = self.tokenizer.decode(ids, skip_special_tokens=False)
        return text

    def decode_after(self, before: list[int], ids: list[int]) -> str:
        """The text of tokens as it stands behind others: at the beginning some decoders drop a space."""
        return self.decode([*before, *ids]).removeprefix(self.decode(before))

    def as_read(self, text: str, before: str = "") -> str:
        """The text as the tokenizer gives it back where it stands behind another: normalised, and without
        what it has no tokens for."""
        alone, whole = self.encode([before, before + text])
        return self.decode(whole).removeprefix(self.decode(alone))

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Ids of each text, no token added."""
        return [list(ids) for ids in self.encoder.encode(texts)]


class StudentNames(Record, frozen=True, kw_only=True):
    """What `load_student` is given, as text, so that other processes can load the same one."""

    student: str = ""
    tokenizer: str = ""
    template: str = ""

    def load(self) -> Student:
        """The student."""
        return load_student(self.student, self.tokenizer, self.template)


class _Config(msgspec.Struct, frozen=True):
    """The part of `tokenizer_config.json` that is read; a token is a text or an object with one."""

    eos_token: str | dict[str, object] | None = None
    bos_token: str | dict[str, object] | None = None
    pad_token: str | dict[str, object] | None = None


def families() -> dict[str, Profile]:
    """The families that are known, by name."""
    folder = files("sera.datasets.rendering") / "profiles"
    return {
        Path(file.name).stem: msgspec.convert(tomllib.loads(file.read_text("utf-8")), Profile)
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".toml")
    }


def load_student(student: str = "", tokenizer: str = "", template: str = "") -> Student:
    """The student of that family or folder; the family is recognised by the tokenizer if it is not named.

    `tokenizer` is a `tokenizer.json`; for a folder its own is the default, else what `read_tokenizer`
    finds. `template` is `chatml`, a file, or empty for that of the family or folder.
    Raises `UsageError` if something is not there, and `DatasetError` if it is not what it should be.
    """
    known = families()
    folder = Path(student) if student and student not in known else None
    if folder and not folder.is_dir():
        raise UsageError(
            f"there is no student {student!r}: name one of {', '.join(known)}, or a folder with its "
            f"tokenizer.json and tokenizer_config.json"
        )
    encoder = read_tokenizer(tokenizer or (str(folder / "tokenizer.json") if folder else ""))
    family = _family(encoder.tokenizer, known)
    if student in known and family != student:
        raise DatasetError(
            f"the tokenizer is not of the family {student}, it looks like {family or 'none that is known'}: "
            f"give --tokenizer the student's own tokenizer.json"
        )
    if folder:
        return _from_folder(folder, encoder, family, template)
    profile = known.get(family)
    if profile is None:
        return _unknown(encoder, template)
    return Student(
        name=family,
        encoder=encoder,
        template=load_template(
            template or profile.template,
            {"bos_token": profile.bos, "eos_token": profile.end, "pad_token": profile.pad},
        ),
        end=profile.end,
        bos=profile.bos,
        pad=profile.pad,
        start=profile.start,
        hint=profile.hint,
    )


def _family(tokenizer: "Tokenizer", known: dict[str, Profile]) -> str:
    """The family whose tokens it has, the one with the most of them; empty if none."""
    fitting = [
        (all(tokenizer.token_to_id(text) == number for text, number in profile.tokens.items()), name)
        for name, profile in known.items()
    ]
    found = [name for fits, name in fitting if fits]
    # Qwen3's vocabulary is Qwen2.5's with a few tokens more.
    return found[-1] if found else ""


def _unknown(encoder: Encoder, template: str) -> Student:
    """A bare tokenizer of no known family, which must then know the marks of `chatml`."""
    end = "<|im_end|>"
    return Student(
        name="another",
        encoder=encoder,
        template=load_template(template or CHATML, {"bos_token": "", "eos_token": end}),
        end=end,
        start="<|im_start|>",
    )


def _from_folder(folder: Path, encoder: Encoder, family: str, template: str) -> Student:
    file = folder / "tokenizer_config.json"
    with boundary(UsageError, f"student {folder}", OSError, msgspec.DecodeError):
        config = msgspec.json.decode(file.read_bytes(), type=_Config)
    tokens = {
        "bos_token": _text(config.bos_token),
        "eos_token": _text(config.eos_token),
        "pad_token": _text(config.pad_token),
    }
    own = load_template(template or str(folder), tokens)
    return Student(
        name=family or "another",
        encoder=encoder,
        template=own,
        end=_end(own, tokens["eos_token"], encoder.tokenizer),
        bos=tokens["bos_token"]
        if own.render([{"role": "user", "content": "?"}]).startswith(tokens["bos_token"])
        else "",
        pad=tokens["pad_token"],
        start="<|im_start|>" if "<|im_start|>" in own.marks.before else "",
    )


def _text(token: str | dict[str, object] | None) -> str:
    return token if isinstance(token, str) else str((token or {}).get("content", ""))


def _end(template: Template, eos: str, tokenizer: "Tokenizer") -> str:
    """What ends a turn: the token after an assistant's words, which need not be `eos_token`; where there is
    none, all that the template writes there."""
    after = template.marks.after
    known = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    found = [text for text in (eos, *known) if text and after.startswith(text)]
    return found[0] if found else after.strip()
