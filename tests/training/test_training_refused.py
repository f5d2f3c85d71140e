"""Broken inputs: each is refused in one sentence with its cure, before weights are loaded."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec
import pytest
from training_support import changed, make_data, tiny_config

from sera.datasets.manifest import sha256
from sera.errors import ConfigError, SeraError
from sera.settings import load_config
from sera.training import Request, TrainConfig, plan_training
from sera.training.checks import refuse_full_disk, refuse_unfit
from sera.training.contract import Step
from sera.training.folder import Metrics, asked_of, opened, read_metrics
from sera.training.recipes import find_recipe

Row = dict[str, Any]


class Bench:
    """A request whose dataset and student are copies that may be broken."""

    def __init__(self, asked: Request, place: Path) -> None:
        self.data = Path(shutil.copytree(asked.dataset, place / "data"))
        self.student = Path(shutil.copytree(asked.student, place / "student"))
        self.request = msgspec.structs.replace(asked, dataset=self.data, student=str(self.student))

    def rows(self, change: Callable[[Row], object]) -> None:
        """Change the second row, and the manifest with it."""
        lines = (self.data / "train.jsonl").read_text("utf-8").splitlines()
        row = json.loads(lines[1])
        change(row)
        lines[1] = json.dumps(row, ensure_ascii=False)
        (self.data / "train.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
        self.manifest(files={"train.jsonl": sha256(self.data / "train.jsonl")})

    def manifest(self, **changes: Any) -> None:
        self._change(self.data / "manifest.json", changes)

    def config(self, **changes: Any) -> None:
        self._change(self.student / "config.json", changes)

    def tokenizer(self, **changes: Any) -> None:
        self._change(self.student / "tokenizer_config.json", changes)

    def settings(self, **changes: object) -> None:
        self.request = changed(self.request, **changes)

    def ask(self, **changes: Any) -> None:
        self.request = msgspec.structs.replace(self.request, **changes)

    @staticmethod
    def _change(file: Path, changes: Row) -> None:
        old = json.loads(file.read_text("utf-8"))
        merged = {
            k: {**old[k], **v} if isinstance(v, dict) and k == "files" else v for k, v in changes.items()
        }
        file.write_text(json.dumps({**old, **merged}), "utf-8")


@pytest.fixture
def bench(asked: Request, tmp_path: Path) -> Bench:
    return Bench(asked, tmp_path)


def train_nothing(row: Row) -> None:
    for message in row["messages"]:
        message["train"] = False


def train_user(row: Row) -> None:
    next(message for message in row["messages"] if message["role"] == "user")["train"] = True


def no_rows(bench: Bench) -> None:
    (bench.data / "train.jsonl").write_text("")
    bench.manifest(rows=0, files={"train.jsonl": sha256(bench.data / "train.jsonl")})


def drop_call(row: Row) -> None:
    turn = next(message for message in row["messages"] if "<tool_call>" in message["content"])
    turn["content"] = turn["content"].partition("<tool_call>")[0].strip()


def other_tokenizer(bench: Bench) -> None:
    """One more token: another file, another hash."""
    file = bench.student / "tokenizer.json"
    tokenizer = json.loads(file.read_text("utf-8"))
    tokenizer["added_tokens"].append({**tokenizer["added_tokens"][0], "id": 260, "content": "<more>"})
    file.write_text(json.dumps(tokenizer), "utf-8")


def other_template(bench: Bench) -> None:
    file = bench.student / "mine.jinja"
    file.write_text(
        "{% for m in messages %}[{{ m.role }}] {{ m.content }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}[assistant] {% endif %}"
    )
    bench.ask(template=str(file))


def bad_gguf(bench: Bench) -> None:
    """A header with one fact: an architecture that nobody knows."""
    text = lambda value: len(value).to_bytes(8, "little") + value  # noqa: E731
    head = b"GGUF" + (3).to_bytes(4, "little") + bytes(8) + (1).to_bytes(8, "little")
    file = bench.student / "model.gguf"
    file.write_bytes(head + text(b"general.architecture") + (8).to_bytes(4, "little") + text(b"mamba9"))
    bench.ask(student=str(file))


def torn_gguf(bench: Bench) -> None:
    file = bench.student / "model.gguf"
    file.write_bytes(b"GGUF\x03\x00\x00\x00\x01")
    bench.ask(student=str(file))


class Way(NamedTuple):
    """One way to be refused."""

    said: str
    change: Callable[[Bench], object]


WAYS = {
    "another template than the dataset's": Way("and this is .*mine.jinja", other_template),
    "a dataset for an unknown template": Way("neither chatml nor", lambda b: b.manifest(template="0" * 64)),
    "a row with no token in the loss": Way("nothing_trained", lambda b: b.rows(train_nothing)),
    "a row with the user in the loss": Way("of the user is marked", lambda b: b.rows(train_user)),
    "a dataset without rows": Way("no row", no_rows),
    "a call that was dropped": Way("does not pass its proofs", lambda b: b.rows(drop_call)),
    "no padding token": Way("no_pad", lambda b: b.tokenizer(pad_token=None)),
    "padding is the end of a turn": Way("pad_is_end", lambda b: b.tokenizer(pad_token="<|im_end|>")),
    "padding that is no token": Way("not in the tokenizer", lambda b: b.tokenizer(pad_token="<nothing>")),
    "a dataset of another tokenizer": Way("other_tokenizer", other_tokenizer),
    "rows changed afterwards": Way("checksum", lambda b: (b.data / "train.jsonl").open("a").write("\n")),
    "rows that are gone": Way("train.jsonl", lambda b: (b.data / "train.jsonl").unlink()),
    "a folder that is no dataset": Way(
        "is no dataset: there is no manifest.json", lambda b: (b.data / "manifest.json").unlink()
    ),
    "no such student": Way("there are no weights", lambda b: b.ask(student="nobody")),
    "no such name on the hub": Way("nobody/nothing", lambda b: b.ask(student="nobody/nothing")),
    "a student without a tokenizer": Way(
        "needs its own tokenizer.json", lambda b: (b.student / "tokenizer.json").unlink()
    ),
    "a manifest that ends early": Way(
        "build the dataset again", lambda b: (b.data / "manifest.json").write_text('{"kind"')
    ),
    "a student without a shape": Way("hidden_size", lambda b: b.config(hidden_size=None)),
    "a mixture of experts": Way(
        "mixture of experts, which is not covered", lambda b: b.config(num_experts=8)
    ),
    "a GGUF of an unknown architecture": Way("mamba9", bad_gguf),
    "a GGUF that ends early": Way("no whole GGUF file", torn_gguf),
    "rows longer than the student reads": Way(
        "build the dataset with --max-row-tokens 512", lambda b: b.config(max_position_embeddings=512)
    ),
    "rows longer than the sequence": Way("nothing is cut here", lambda b: b.settings(sequence=700)),
    "a vocabulary smaller than the tokenizer": Way("is of another model", lambda b: b.config(vocab_size=200)),
    "a rate that is never reached": Way("never be reached", lambda b: b.settings(warmup_steps=48)),
    "a batch that does not come out even": Way(
        "cannot be had from 1 devices with 3", lambda b: b.settings(micro_batch=3)
    ),
    "more devices than the trainer uses": Way(
        "take --trainer axolotl", lambda b: b.settings(device={"gpu": "h100", "gpus": 2})
    ),
    "a GPU that nobody knows": Way("no facts about the GPU", lambda b: b.settings(device={"gpu": "x9"})),
    "four bits on a processor": Way(
        "lora.quantized needs a GPU", lambda b: b.settings(lora={"quantized": True})
    ),
    "offload on a processor": Way(
        "activation_offload needs a GPU", lambda b: b.settings(activation_offload=True)
    ),
    "kernels of a GPU on a processor": Way(
        "trl.attention, trl.liger needs a GPU",
        lambda b: b.settings(trl={"attention": "cudnn", "liger": True}),
    ),
    "everything held out": Way("none is left", lambda b: b.settings(held_out=0.999999)),
    "no such trainer": Way("choose trl", lambda b: b.ask(trainer="magic")),
    "a harness that does not ship": Way("give --harness", lambda b: b.manifest(profile="feed" * 4)),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_refused_with_a_reason(bench: Bench, way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    way.change(bench)
    with pytest.raises(SeraError, match=way.said):
        plan_training(bench.request)


def test_a_share_of_few_tasks_holds_one_of_them(bench: Bench) -> None:
    """A refusal would come after the teacher was paid; the one task of a dataset is another matter."""
    bench.settings(held_out=1e-9)
    plan = plan_training(bench.request).plan
    assert (plan.rows, plan.held_out) == (11, 1)
    make_data(bench.data / "single", bench.student, rows=1)
    bench.ask(dataset=bench.data / "single")
    with pytest.raises(SeraError, match="or 0 where all rows are of one task"):
        plan_training(bench.request)


def test_a_tokenizer_that_servers_read_otherwise(bench: Bench) -> None:
    """Told before the training, not after it: transformers would take the marks of turns for text."""
    pytest.importorskip("transformers")
    bench.tokenizer(split_special_tokens=True)
    with pytest.raises(SeraError, match="transformers lays it out otherwise than it is trained"):
        plan_training(bench.request)


NONSENSE = {
    "learning_rate=-1": ">= 0", "learning_rate=3": "destroys any model", "epochs=0": "> 0", "epochs=-2": "> 0",
    "batch=0": ">= 1", "beta1=1.0": "< 1.0", "lora.rank=0": ">= 1", "lora.targets=[]": "name the layers",
    "precision='int2'": "int2", "speed=9": "unknown field", "activation_offload=true": "needs gradient_checkpointing",
    "trl.keep_attention=true": "needs gradient_checkpointing", "trl.weights='bf16'": "needs trl.optimizer=adamw_8bit",
    "zero=3": "zero=3 ends an adapter's training",
}  # fmt: skip


@pytest.mark.parametrize(("pair", "said"), NONSENSE.items())
def test_settings_without_sense(pair: str, said: str) -> None:
    pairs = [pair, "gradient_checkpointing=false"] if "gradient_checkpointing" in said else [pair]
    pairs += ["lora.rank=32"] if "adapter's" in said else []
    with pytest.raises(ConfigError, match=said):
        load_config(TrainConfig, pairs=pairs)


def test_a_recipe_with_an_unknown_key(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("epochs = 2\nwarmup_ratio = 0.1\n")
    with pytest.raises(ConfigError, match=r"mine.toml.*warmup_ratio"):
        load_config(TrainConfig, find_recipe(str(tmp_path / "mine.toml")))
    (tmp_path / "mine.toml").write_text("epochs = two\n")
    with pytest.raises(ConfigError, match=r"mine.toml"):
        load_config(TrainConfig, find_recipe(str(tmp_path / "mine.toml")))


def shaped(asked: Request, student: Path, **shape: object) -> Request:
    """The same request for a student of another shape, on one GPU."""
    file = student / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | shape))
    return msgspec.structs.replace(changed(asked, device={"gpu": "h100"}), student=str(student))


@pytest.fixture
def copied(tmp_path: Path, bare_student: Path) -> Path:
    """A student whose files may be changed."""
    return Path(shutil.copytree(bare_student, tmp_path / "copied"))


def test_what_does_not_fit_is_refused_with_a_cure(asked: Request, copied: Path) -> None:
    request = shaped(
        asked,
        copied,
        hidden_size=8192,
        intermediate_size=29_568,
        num_hidden_layers=80,
        num_attention_heads=64,
    )
    plan = plan_training(request).plan
    with pytest.raises(SeraError, match=r"are needed on each h100 .*the recipe lora"):
        refuse_unfit(plan)


def test_a_disk_that_is_too_small(asked: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier call has left counts: it is not needed a second time."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**9))
    plan = msgspec.structs.replace(plan_training(asked).plan, disk_gb=2.0)
    with pytest.raises(SeraError, match="larger disk"):
        refuse_full_disk(tmp_path / "out", plan)
    (tmp_path / "out").mkdir()
    with (tmp_path / "out" / "state").open("wb") as file:
        file.truncate(10**9)  # of holes only
    refuse_full_disk(tmp_path / "out", plan)


def test_what_a_gpu_cannot_hold_and_what_helps(asked: Request, copied: Path) -> None:
    """Qwen3-8B with all weights on one GPU of 80 GB: not by default, and with fewer bits."""
    request = shaped(
        asked,
        copied,
        hidden_size=4096,
        intermediate_size=12_288,
        num_hidden_layers=36,
        num_attention_heads=32,
        num_key_value_heads=8,
        vocab_size=151_936,
        tie_word_embeddings=False,
    )
    with pytest.raises(
        SeraError, match=r"most of it for optimizer .*trl.optimizer=adamw_8bit and trl.weights=bf16"
    ):
        refuse_unfit(plan_training(request).plan)
    fewer = changed(request, trl={"optimizer": "adamw_8bit", "weights": "bf16"})
    refuse_unfit(plan_training(fewer).plan)


def test_an_adapter_is_not_advised_what_does_not_help_it(asked: Request, copied: Path) -> None:
    """Its frozen weights alone fill the GPU, and no stage of DeepSpeed's can spread those."""
    large = {"hidden_size": 8192, "intermediate_size": 29_568, "num_hidden_layers": 80}
    request = shaped(changed(asked, lora={"rank": 32}), copied, **large, num_attention_heads=64)
    plan = plan_training(msgspec.structs.replace(request, trainer="axolotl")).plan
    with pytest.raises(SeraError, match=r"most of it for weights .*the recipe qlora") as refused:
        refuse_unfit(plan)
    assert "zero" not in str(refused.value)


def test_a_folder_of_something_else(bench: Bench) -> None:
    bench.request.out.mkdir()
    (bench.request.out / "thesis.tex").touch()
    with pytest.raises(SeraError, match="something other than a training"):
        plan_training(bench.request)


def test_a_folder_of_other_settings_or_of_another_process(bench: Bench) -> None:
    job, _ = plan_training(bench.request)
    with opened(bench.request.out, asked_of(job, "trl")):
        with (
            pytest.raises(SeraError, match="another process"),
            opened(bench.request.out, asked_of(job, "trl")),
        ):
            pass
    plan_training(changed(bench.request, save_every=7))  # does not change what is trained
    written = json.loads((bench.request.out / "train.json").read_text())
    del written["settings"]["trl"]  # of before there was such a setting
    (bench.request.out / "train.json").write_text(json.dumps(written))
    plan_training(bench.request)
    with pytest.raises(SeraError, match=r"epochs: 2.0 → 3.0"):
        plan_training(changed(bench.request, epochs=3.0))


def test_another_dataset_in_the_same_folder(bench: Bench, tmp_path: Path) -> None:
    job, _ = plan_training(bench.request)
    with opened(bench.request.out, asked_of(job, "trl")):
        pass
    bench.ask(dataset=make_data(tmp_path / "more", bench.student, rows=13))
    with pytest.raises(SeraError, match="dataset: "):
        plan_training(bench.request)


def test_a_folder_whose_record_is_damaged(bench: Bench) -> None:
    bench.request.out.mkdir()
    (bench.request.out / "train.json").write_text('{"kind": "sera-tr')
    with pytest.raises(SeraError, match=r"train.json cannot be read"):
        plan_training(bench.request)


def test_a_harness_that_is_none(bench: Bench, tmp_path: Path) -> None:
    bench.manifest(profile="feed" * 4)
    for text, said in (("{", "harness profile"), ("{}", "harness profile")):
        (tmp_path / "harness.json").write_text(text)
        bench.ask(harness=tmp_path / "harness.json")
        with pytest.raises(SeraError, match=said):
            plan_training(bench.request)


def test_the_defaults_are_the_papers() -> None:
    config = TrainConfig()
    assert (config.epochs, config.rate, config.weight_decay, config.warmup_steps) == (3, 1e-5, 0.01, 48)
    assert (config.beta1, config.beta2, config.batch, config.sequence, config.packing) == (
        0.9,
        0.95,
        32,
        32_768,
        False,
    )
    assert tiny_config(**{"lora.rank": 32}).lora
    assert load_config(TrainConfig, given={"lora.alpha": 128}).rate == 5e-5


def test_a_damaged_figure_is_left_out(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path, 0)
    for number in (1, 2, 3):
        metrics.add(Step(step=number, epoch=0.1, loss=2.0))
    file = tmp_path / "metrics.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    for damage in (b"\xff" + lines[1], b"\0" * 40 + b"\n", b"[" * 5000 + b"\n", b"{}\n"):
        file.write_bytes(lines[0] + damage + lines[2])
        assert [step.step for step in read_metrics(tmp_path)] == [1, 3]
