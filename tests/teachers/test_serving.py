"""Launch commands: what fits, with which flags, and what is refused."""

import hashlib
import json
import shlex
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from sera.cli.evaluate import command as evaluate
from sera.cli.teacher import teacher
from sera.errors import ModelError, UsageError
from sera.harness import load_profile
from sera.teachers import RemoteConfig
from sera.teachers.serving import Wanted, gpus, models, plan_launch
from sera.teachers.serving.facts import find_model
from sera.teachers.serving.memory import fit, layout


def flags(**wanted: object) -> str:
    return plan_launch(Wanted(**wanted)).command  # type: ignore[arg-type]


def test_cache_of_a_token_by_hand() -> None:
    """GLM-4.5-Air: 2 · 46 layers · 8 heads · 128 · 2 bytes."""
    air = find_model("glm-4.5-air")
    spread = layout(air, gpus()["h100"], 8, "bf16")
    assert not isinstance(spread, str)
    found = fit(air, gpus()["h100"], spread, 131072, 0.9)
    assert found.token_bytes == 188_416
    assert found.weights_gb == pytest.approx(106.9 * 2 / 8)
    assert found.pool_gb == pytest.approx((72 - 4 - 106.9 / 4) * 8)
    assert found.tokens == int(found.pool_gb * 1e9 / 188_416)


def test_kv_heads_are_repeated_when_there_are_more_gpus() -> None:
    coder = find_model("qwen3-coder-30b-a3b")
    four, eight = (layout(coder, gpus()["h100"], n, "bf16") for n in (4, 8))
    assert not isinstance(four, str)
    assert not isinstance(eight, str)
    once, twice = (fit(coder, gpus()["h100"], one, 32768, 0.9).token_bytes for one in (four, eight))
    assert twice == 2 * once


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
@pytest.mark.parametrize("model", list(models()))
def test_every_model_fits_on_a_large_machine(model: str, engine: str) -> None:
    launch = plan_launch(Wanted(model=model, gpu="h200", gpus=8, engine=engine))  # type: ignore[arg-type]
    assert launch.concurrency == 32
    assert all(flag.reason for flag in launch.flags)
    assert f"--tool-call-parser {launch.model.tools[engine]}" in launch.command  # type: ignore[index]
    assert "127.0.0.1" in launch.command
    assert "$SERA_API_KEY" in launch.command


def test_what_the_authors_of_the_method_used() -> None:
    """GLM-4.5-Air on eight H100 with 128K of context and 32 rollouts."""
    command = flags(model="glm-4.5-air", gpus=8)
    for part in (
        "zai-org/GLM-4.5-Air ",
        "--tensor-parallel-size 8",
        "--max-model-len 131072",
        "--max-num-seqs 32",
    ):
        assert part in command


def test_fp8_only_where_it_must() -> None:
    assert "FP8" not in flags(model="glm-4.5-air", gpus=8)
    assert "GLM-4.5-Air-FP8" in flags(model="glm-4.5-air", gpus=4)


def test_experts_stay_whole_where_fp8_blocks_do_not_divide() -> None:
    """A width of 2,560 over 8 GPUs is 320, no multiple of 128; over 4 it is 640."""
    assert "--enable-expert-parallel" in flags(model="qwen3-coder-480b-a35b", gpu="h200")
    assert "--ep-size 8" in flags(model="qwen3-coder-480b-a35b", gpu="h200", engine="sglang")
    assert "expert" not in flags(model="qwen3-coder-480b-a35b", gpu="b200", gpus=4, context=32768)


def test_a_model_that_does_not_think_has_no_reasoning_parser() -> None:
    assert "--reasoning-parser" not in flags(model="qwen3-coder-30b-a3b")
    assert "--reasoning-parser qwen3" in flags(model="qwen3-32b")


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"model": "glm-4.6", "gpus": 4}, "94 GB of weights on each GPU of 80 GB leave no room. Enough would be 8 × h100 in FP8"),
        ({"model": "glm-4.6", "gpu": "a100"}, "this GPU does not compute in FP8"),
        ({"model": "glm-4.5-air", "gpus": 2}, "one conversation may have 131,072"),
        ({"model": "glm-4.5-air", "gpus": 4, "concurrency": 64}, "not 64"),
        ({"model": "glm-4.5-air", "gpus": 3}, "cannot be split over 3 GPUs"),
        ({"model": "glm-4.6", "gpus": 16}, "teacher.endpoints"),
        ({"model": "qwen3-8b", "context": 100_000}, "trained for 40,960 tokens"),
        ({"model": "gpt-5"}, "known are glm-4.5-air"),
        ({"model": "glm-4.6", "gpu": "tpu"}, "known are a100"),
        ({"model": "glm-4.6", "concurrency": 10_000}, "no machine with eight GPUs holds it"),
    ],
)  # fmt: skip
def test_refusals_say_why_and_what_would_do(wanted: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError) as refusal:
        plan_launch(Wanted(**wanted))  # type: ignore[arg-type]
    assert told in str(refusal.value)


def test_what_is_called_enough_is_enough() -> None:
    assert plan_launch(Wanted(model="glm-4.6", gpus=8, gpu="h100"))


def test_a_model_by_its_full_name() -> None:
    assert find_model("Qwen/Qwen3-Coder-480B-A35B-Instruct-FP8").name == "qwen3-coder-480b-a35b"


# ── students ──────────────────────────────────────────────────────────────────────────────────────

QWEN3_8B = {
    "model_type": "qwen3", "num_hidden_layers": 36, "hidden_size": 4096, "intermediate_size": 12_288,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151_936,
    "max_position_embeddings": 40_960,
}  # fmt: skip
ITS_OWN = "{% for m in messages %}<think>{{ m.reasoning }}</think><tool_call>{% endfor %}"


def student(place: Path, template: str = ITS_OWN, **shape: object) -> Path:
    """The folder of a model from elsewhere, without weights."""
    folder = place / "my students" / "checkpoint"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(QWEN3_8B | shape))
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    return folder


def trained(folder: Path, **saved: object) -> Path:
    """The same as `sera train` leaves it."""
    (folder / "chat_template.jinja").write_text(ITS_OWN)
    profile = load_profile()
    told = {
        "format": "hermes", "think": "keep", "harness": profile.hash, "context": 32_768,
        "template": hashlib.sha256(ITS_OWN.encode()).hexdigest(), **saved,
    }  # fmt: skip
    (folder / "sera.json").write_text(json.dumps(told))
    (folder / "harness.json").write_bytes(msgspec.json.encode(profile))
    return folder


@pytest.mark.parametrize(("engine", "parser"), [("vllm", "hermes"), ("sglang", "qwen")])
def test_a_checkpoint_is_served_as_it_was_trained(tmp_path: Path, engine: str, parser: str) -> None:
    folder = trained(student(tmp_path))
    launch = plan_launch(Wanted(model=str(folder), gpus=1, engine=engine))  # type: ignore[arg-type]
    assert f"'{folder}'" in launch.command
    assert "--served-model-name my-students " in launch.command
    assert f"--tool-call-parser {parser} " in launch.command
    assert "--reasoning-parser" not in launch.command
    assert launch.fit.weights_gb == pytest.approx(16.4, rel=0.01)


def test_a_student_has_room_for_an_answer_beyond_its_conversation(tmp_path: Path) -> None:
    """A server refuses a request whose prompt and `max_tokens` might outgrow its context: 32,768 tokens of
    conversation would end at 24,576."""
    folder = trained(student(tmp_path))
    launch = plan_launch(Wanted(model=str(folder), gpus=1))
    assert "--max-model-len 40960 " in launch.command
    assert (launch.conversation, launch.answer) == (
        32_768,
        RemoteConfig(model="m", base_url="http://h").max_tokens,
    )
    told = next(flag.reason for flag in launch.flags if flag.text.startswith("--max-model-len"))
    assert "32,768 tokens of a conversation, and the 8,192 of an answer" in told
    longer = plan_launch(Wanted(model=str(folder), gpus=1, context=40_000))
    assert (longer.fit.context, longer.conversation) == (40_960, 32_768)


@pytest.mark.parametrize(
    ("saved", "tools", "reasoning"),
    [
        ({"format": "xml"}, {}, {}),
        ({"format": "raw"}, {"vllm": "hermes", "sglang": "qwen"}, {"vllm": "qwen3", "sglang": "qwen3"}),
        ({"format": "raw", "think": "drop"}, {"vllm": "hermes", "sglang": "qwen"}, {}),
    ],
)
def test_parsers_follow_from_how_a_student_is_asked(
    tmp_path: Path, saved: dict[str, str], tools: dict[str, str], reasoning: dict[str, str]
) -> None:
    launch = plan_launch(Wanted(model=str(trained(student(tmp_path), **saved)), gpus=1))
    assert (launch.model.tools, launch.model.reasoning) == (tools, reasoning)
    assert ("--enable-auto-tool-choice" in launch.command) is bool(tools)
    assert bool(launch.model.note) is not bool(tools)


def test_a_small_student_from_elsewhere(tmp_path: Path) -> None:
    """Its whole context is no longer than an answer usually may be."""
    folder = student(tmp_path, "{{ messages }}", max_position_embeddings=8192)
    launch = plan_launch(Wanted(model=str(folder), gpus=1))
    assert (launch.fit.context, launch.conversation, launch.answer) == (8192, 6144, 2048)
    assert "--tool-call-parser" not in launch.command
    assert "which parser" in launch.model.note


def test_the_next_command_evaluates_it_as_it_was_trained(tmp_path: Path) -> None:
    folder = trained(student(tmp_path))
    told = CliRunner().invoke(teacher, ["command", str(folder), "--gpus", "1"]).stdout.splitlines()[-1]
    words = shlex.split(told.removeprefix("next: "))
    assert words[:7] == [
        *("sera", "evaluate", "TASKS", "--model", "http://127.0.0.1:8000/v1", "--served-as", "my-students"),
    ]
    assert words[7:11] == ["--set", f"profile={folder}", "--context", "32768"]
    assert "teacher.max_tokens" not in told
    assert evaluate.make_context("evaluate", words[2:]).params["served_as"] == "my-students"


@pytest.mark.parametrize("saved", [{"template": "other"}, {"harness": "other"}])
def test_a_checkpoint_that_contradicts_itself_is_not_served(tmp_path: Path, saved: dict[str, str]) -> None:
    with pytest.raises(ModelError, match="was trained with"):
        plan_launch(Wanted(model=str(trained(student(tmp_path), **saved)), gpus=1))


def test_every_fact_has_its_source() -> None:
    assert all(model.source for model in models().values())
