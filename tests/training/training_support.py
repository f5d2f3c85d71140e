"""What the tests of training share."""

import json
from pathlib import Path
from typing import Any

import msgspec
from tokenizers import AddedToken, Tokenizer, decoders
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from sera.datasets import DatasetConfig, Sample, Source, build_dataset
from sera.harness import load_profile
from sera.records import Agreement, End, Message, Stage, ToolCall
from sera.settings import load_config
from sera.training import Plan, Request, TrainConfig
from sera.training.contract import Step

SHAPE: dict[str, Any] = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 264,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}
PROFILE = load_profile()
SOURCE = Source(repository="example/shop", commit="c0ffee", run="run-1")


def write_tokenizer(folder: Path) -> None:
    """A tokenizer of bytes, with the marks of ChatML."""
    letters = [*sorted(ByteLevel.alphabet()), "th"]
    tokenizer = Tokenizer(BPE({letter: number for number, letter in enumerate(letters)}, [("t", "h")]))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    marks = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
    tokenizer.add_special_tokens([AddedToken(mark, special=True) for mark in marks])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "chat_template": "{{ messages }}"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def tiny_config(**changes: object) -> TrainConfig:
    plain = {
        "epochs": 2.0,
        "learning_rate": 5e-3,
        "warmup_steps": 1,
        "batch": 4,
        "sequence": 2048,
        "save_every": 2,
    }
    return load_config(TrainConfig, given={**plain, "device.gpu": "cpu", **changes})


def changed(request: Request, **changes: object) -> Request:
    """The request with other settings."""
    tree = {**msgspec.to_builtins(request.config), **changes}
    return msgspec.structs.replace(request, config=msgspec.convert(tree, TrainConfig))


def make_sample(index: int, steps: int = 1) -> Sample:
    messages = [Message(role="system", content="Work."), Message(role="user", content=f"Mend m{index}.")]
    for step in range(steps):
        call = ToolCall(id=f"c{step}", name="bash", arguments=json.dumps({"command": f"ls {step}"}))
        messages.append(Message(role="assistant", content="So:", reasoning="Hm.", tool_calls=(call,)))
        messages.append(Message(role="tool", content=f"m{index}.py", tool_call_id=f"c{step}"))
    messages.append(Message(role="assistant", content="Done."))
    patch = f"diff --git a/m{index}.py b/m{index}.py\n--- a/m{index}.py\n+++ b/m{index}.py\n@@ -0,0 +1 @@\n+x = {index}\n"
    return Sample(
        id=f"t2-{index}",
        task=f"task-{index}",
        index=index,
        stage=Stage.T2,
        end=End.SUBMITTED,
        messages=tuple(messages),
        patch=patch,
        agreement=Agreement(recall=1, precision=1, f1=1, file_recall=1, lines_a=1, lines_b=1, common=1),
        category="naming",
        function=f"f{index}",
        path=f"m{index}.py",
        source=SOURCE,
        profile=PROFILE.hash,
        tools=PROFILE.tools[:1],
        teacher={"model": "teacher", "temperature": 0.6},
    )


def make_data(out: Path, student: Path, rows: int = 12, **settings: object) -> Path:
    """A dataset built for a student's folder, with the template `chatml`."""
    given = {
        "stages": ["t2"], "tokenizer": str(student / "tokenizer.json"), "student": str(student),
        "template": "chatml", "max_tool_tokens": 100_000, "workers": 1, **settings,
    }  # fmt: skip
    config = load_config(DatasetConfig, given=given)
    build_dataset([make_sample(n, steps=1 + n % 2) for n in range(rows)], out, config, [SOURCE])
    return out


class Told:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.plan: Plan | None = None
        self.done = -1
        self.time_for = 0
        self.steps: list[Step] = []

    def begin(self, plan: Plan, done: int) -> None:
        self.plan, self.done = plan, done

    def step(self, step: Step) -> None:
        self.steps.append(step)

    def shortened(self, steps: int) -> None:
        self.time_for = steps

    @property
    def losses(self) -> list[float]:
        return [step.loss for step in self.steps if step.loss is not None]
