"""A student: its tokenizer, its chat template, and the tokens that mean something in both.

Named by family (`qwen3`, `qwen2.5`, `smollm2`), whose facts are the data files in `profiles/`; or by a
folder with `tokenizer.json`, `tokenizer_config.json` and perhaps `chat_template.jinja`, as models have it.
Nothing is ever downloaded.
"""

import re
import tomllib
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from sera.datasets.rendering.frame import Frame, find_frame
from sera.datasets.rendering.template import CHATML, Template, load_template
from sera.datasets.tokens import Encoder, read_tokenizer
from sera.errors import DatasetError, UsageError, boundary
from sera.records import Record

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class Profile(Record, frozen=True, kw_only=True):
    """What is known of a family of students."""

    title: str
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
    frame: Frame
    bos: str = ""
    pad: str | None = None
    """Empty if it has none, None if that is not known."""
    hint: str = ""

    @property
    def end(self) -> str:
        """Ends a turn."""
        return self.frame.end

    @property
    def start(self) -> str:
        """Begins a turn, whoever speaks; empty if nothing does."""
        return self.frame.start

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
        """Texts that the tokenizer, or `render`, reads as the structure of a conversation, wherever they
        stand."""
        frame = self.frame
        bare = "" if any(mark in frame.opening for mark in frame.marks) else frame.opening.strip()
        end = self.end if self.end_id is not None else ""  # words of the template's own, which no student has
        return tuple(sorted({*frame.marks, end, self.bos, self.pad or "", bare} - {""}))

    @cached_property
    def added(self) -> frozenset[str]:
        """The tokens that the tokenizer takes out of a text first."""
        return frozenset(token.content for token in self.tokenizer.get_added_tokens_decoder().values())

    @property
    def spare(self) -> str:
        """A token that could fill a batch up, since nothing else is meant by it; empty if none is known."""
        known = self.tokenizer.get_added_tokens_decoder().values()
        special = sorted(token.content for token in known if token.special)
        fitting = [
            *filter(_PADDING.search, special),
            *(token for token in special if token == "<|endoftext|>"),
        ]
        return next((token for token in fitting if token != self.end), "")

    @cached_property
    def end_id(self) -> int | None:
        """Id of the token that ends a turn; None if it is not one token, wherever it stands."""
        number: int | None = self.tokenizer.token_to_id(self.end) if self.end in self.added else None
        return number

    @cached_property
    def cuts(self) -> bool:
        """Whether a text may be tokenised in pieces, cut before every mark that begins a turn: that mark, and
        the one that ends a turn, must be tokens which the tokenizer takes out of a text first."""
        if not self.start or {self.start, self.end} - self.added:
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


_SAID = {tag for name in ("think", "tool_call", "tool_response") for tag in (f"<{name}>", f"</{name}>")}
"""What the formats write into the words of a turn, and some tokenizers have as tokens."""
_PADDING = re.compile(
    r"(?<![a-z])(?<!fim_)(?<!image_)(?<!video_)(?<!vision_)(?<!audio_)pad(?![a-z])", re.IGNORECASE
)


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
    if folder and not tokenizer and not (folder / "tokenizer.json").is_file():
        raise UsageError(_without_tokenizer(folder))
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
    loaded = load_template(
        template or profile.template,
        {"bos_token": profile.bos, "eos_token": profile.end, "pad_token": profile.pad},
    )
    return Student(
        name=family,
        encoder=encoder,
        template=loaded,
        frame=_frame(loaded, encoder, profile.end),
        bos=profile.bos,
        pad=profile.pad,
        hint=profile.hint,
    )


def _without_tokenizer(folder: Path) -> str:
    """Older folders have the tokenizer in forms that only transformers reads."""
    old = [name for name in ("tokenizer.model", "vocab.json", "vocab.txt") if (folder / name).is_file()]
    if not old:
        return f"there is no tokenizer.json in {folder}: give --tokenizer FILE, the student's own"
    return (
        f"there is no tokenizer.json in {folder}, only {old[0]}, which is not read here. Make one of it with "
        f"transformers: AutoTokenizer.from_pretrained({str(folder)!r}).save_pretrained({str(folder)!r}). Or "
        f"give --tokenizer FILE"
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
    loaded = load_template(template or CHATML, {"eos_token": end})
    return Student(name="another", encoder=encoder, template=loaded, frame=_frame(loaded, encoder, end))


def _from_folder(folder: Path, encoder: Encoder, family: str, template: str) -> Student:
    file = folder / "tokenizer_config.json"
    with boundary(UsageError, f"student {folder}", OSError, msgspec.DecodeError):
        config: dict[str, object] = msgspec.json.decode(file.read_bytes(), type=dict[str, object])
    # All that transformers hands to a template: what a folder does not name is undefined there.
    tokens = {key: _text(value) for key, value in config.items() if key.endswith("_token")}
    own = load_template(template or str(folder), tokens)
    frame, bos = _frame(own, encoder, tokens.get("eos_token", "")), tokens.get("bos_token", "")
    return Student(
        name=family or "another",
        encoder=encoder,
        template=own,
        frame=frame,
        bos=bos if bos in frame.marks else "",
        pad=tokens.get("pad_token", ""),
    )


def _text(token: object) -> str:
    """A token of `tokenizer_config.json`: a text, or an object with one."""
    found = token.get("content", "") if isinstance(token, dict) else token
    return found if isinstance(found, str) else ""


def _frame(template: Template, encoder: Encoder, eos: str) -> Frame:
    known = encoder.tokenizer.get_added_tokens_decoder().values()
    special = {token.content for token in known if token.special} - _SAID
    return find_frame(template, {token.content for token in known}, special, eos)
