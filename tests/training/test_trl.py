"""TRL from rows to a checkpoint, on a processor: it learns, goes on after a kill, and serves what it was trained on."""

import json
import os
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from training_support import Told, changed, make_data, tiny_config

from sera.datasets.proof import StudentNames, check_dataset
from sera.errors import Halted, ModelError, SeraError, TrainError
from sera.training import Request, plan_training, train_student
from sera.training.contract import Step
from sera.training.finish import finish, read_finished
from sera.training.folder import read_metrics
from sera.training.gguf_export import export_gguf
from sera.training.names import repair_names, weight_names
from sera.training.trl.building import (
    _arguments,
    attention,
    only_trained_positions,
    rate_at,
    refuse_missing,
)
from sera.training.trl.loading import load_model
from sera.training.weights import _whole

torch = pytest.importorskip("torch")
pytest.importorskip("trl")
from sera.training.trl.watching import Pace  # noqa: E402  (it needs them)


class Killed(BaseException):
    """In the place of a power cut: nothing of ours catches it."""


class Breaking(Told):
    """Breaks a training off after a step."""

    def __init__(self, after: int, how: str) -> None:
        super().__init__()
        self._after, self._how = after, how

    def step(self, step: Step) -> None:
        super().step(step)
        if step.loss is not None and step.step == self._after:
            if self._how == "killed":
                raise Killed
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(scope="module")
def whole(data: Path, student_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Request, Told]:
    """A training of all weights that nothing has disturbed."""
    out = tmp_path_factory.mktemp("whole") / "out"
    config = tiny_config(held_out=0.25)
    request = Request(dataset=data, student=str(student_folder), out=out, config=config)
    told = Told()
    train_student(request, told)
    return request, told


def test_the_loss_falls_also_on_what_is_held_out(whole: tuple[Request, Told]) -> None:
    request, told = whole
    finished = read_finished(request.out / "checkpoint")
    assert told.plan
    assert len(told.losses) == told.plan.steps == finished.steps
    assert told.losses[-1] < told.losses[0]
    assert finished.held_out_before
    assert finished.held_out_after
    assert finished.held_out_after < finished.held_out_before
    assert read_metrics(request.out) == told.steps
    assert all(step.tokens and step.seconds for step in told.steps if step.loss is not None)


def test_a_checkpoint_says_how_to_serve_it(whole: tuple[Request, Told], data: Path) -> None:
    request, _ = whole
    folder = request.out / "checkpoint"
    finished = read_finished(folder)
    harness = json.loads((folder / "harness.json").read_text())
    assert (finished.format, finished.think, finished.context) == ("hermes", "keep", 2048)
    assert harness["name"] == "sera-1"
    assert (folder / "dataset.json").read_bytes() == (data / "manifest.json").read_bytes()
    assert (folder / "chat_template.original.jinja").read_text() == "{{ messages }}"
    assert "from" in (folder / "README.md").read_text().split("held out", 1)[1]
    # Its own files, in the place of the student's, pass all proofs of the dataset.
    assert check_dataset(data, StudentNames(student=str(folder)), workers=1).ok


def test_the_same_command_again_does_nothing(whole: tuple[Request, Told]) -> None:
    request, _ = whole
    told = Told()
    assert train_student(request, told) == read_finished(request.out / "checkpoint")
    assert told.plan is None


@pytest.mark.parametrize("how", ["killed", "interrupted"])
def test_the_same_command_goes_on(whole: tuple[Request, Told], tmp_path: Path, how: str) -> None:
    undisturbed, expected = whole
    request = msgspec.structs.replace(undisturbed, out=tmp_path / "out")
    with pytest.raises((Killed, Halted)):
        train_student(request, Breaking(3, how))
    torn = request.out / "state" / "checkpoint-99"
    shutil.copytree(request.out / "state" / "checkpoint-2", torn)
    (torn / "whole").unlink()
    told = Told()
    train_student(request, told)
    assert told.done == (2 if how == "killed" else 4)
    losses = [step.loss for step in read_metrics(request.out) if step.loss is not None]
    assert losses == pytest.approx(expected.losses, abs=1e-4)


def test_the_rate_is_that_of_transformers() -> None:
    from transformers import get_cosine_schedule_with_warmup

    for warmup, steps in ((0, 7), (3, 20), (4, 5)):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        schedule = get_cosine_schedule_with_warmup(optimizer, warmup, steps)
        expected = [schedule.lr_lambdas[0](step) for step in range(steps + 2)]
        assert [rate_at(step, warmup, steps) for step in range(steps + 1)] == pytest.approx(expected[:-1])


def test_a_training_ends_in_the_time_it_is_given(whole: tuple[Request, Told], tmp_path: Path) -> None:
    """Its steps are measured, and the rate falls to 0 at its own end."""
    hour = msgspec.structs.replace(whole[0].config.trl, max_hours=1e-9)
    config = msgspec.structs.replace(whole[0].config, trl=hour, epochs=4.0, warmup_steps=3)
    request = msgspec.structs.replace(whole[0], out=tmp_path / "out", config=config)
    told = Breaking(3, "killed")
    with pytest.raises(Killed):
        train_student(request, told)
    assert told.plan
    assert told.plan.steps > 4
    told = Told()
    finished = train_student(request, told)
    assert (finished.steps, told.time_for, told.steps[-1].step) == (4, 4, 4)
    rates = [step.learning_rate for step in read_metrics(request.out) if step.loss is not None]
    assert rates == pytest.approx([5e-3 * rate_at(step, 3, 4) for step in range(4)])
    assert f"{finished.steps} steps" in " ".join((request.out / "checkpoint/README.md").read_text().split())


def test_the_measure_leaves_out_the_step_that_warms_up(whole: tuple[Request, Told]) -> None:
    """Rows of 500 tokens at 100 a second, where the mean row has 250: an hour is 1,440 steps."""
    config = msgspec.structs.replace(whole[0].config.trl, max_hours=1.0)
    assert whole[1].plan
    plan = msgspec.structs.replace(whole[1].plan, steps=5000, hours=2.0, tokens_per_second=5000 * 250 / 7200)
    pace = Pace(msgspec.structs.replace(whole[0].config, trl=config, warmup_steps=4), plan)
    told = [
        pace.steps_in_time(Step(step=n, epoch=0, tokens=500, seconds=90.0 if n == 1 else 5.0))
        for n in range(1, 6)
    ]
    assert told == [None, None, None, 1440, None]


def test_a_damaged_state_is_passed_over(whole: tuple[Request, Told], tmp_path: Path) -> None:
    """What a lost machine leaves: files that are there, and shorter than they were written."""
    undisturbed, expected = whole
    request = msgspec.structs.replace(undisturbed, out=tmp_path / "out")
    with pytest.raises(Halted):
        train_student(request, Breaking(3, "interrupted"))
    newest = request.out / "state" / "checkpoint-4"
    (newest / "optimizer.pt").write_bytes((newest / "optimizer.pt").read_bytes()[:1000])
    told = Told()
    train_student(request, told)
    assert told.done == 2
    losses = [step.loss for step in read_metrics(request.out) if step.loss is not None]
    assert losses == pytest.approx(expected.losses, abs=1e-4)


def test_damaged_rows_and_states_beyond_use(request_: Request) -> None:
    with pytest.raises((Killed, Halted)):
        train_student(request_, Breaking(3, "killed"))
    for state in (request_.out / "state").glob("checkpoint-*"):
        (state / "trainer_state.json").write_text("{")
    rows = request_.out / "tokens" / "train.arrow"
    rows.write_bytes(rows.read_bytes()[:100])
    with pytest.raises(TrainError, match=r"train.arrow are damaged, remove .*tokens"):
        train_student(request_, Told())
    shutil.rmtree(rows.parent)
    told = Told()
    train_student(request_, told)
    assert told.done == 0


def test_kept_attention_changes_nothing_but_the_memory(request_: Request, tmp_path: Path) -> None:
    losses = []
    for kept in (False, True):
        told = Told()
        request = msgspec.structs.replace(request_, out=tmp_path / str(kept))
        train_student(changed(request, max_steps=3, trl={"keep_attention": kept}), told)
        losses.append(told.losses)
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


def test_a_processor_works_out_the_logits_of_trained_positions_alone(student_folder: Path) -> None:
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import AutoModelForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    model = AutoModelForCausalLM.from_pretrained(student_folder)
    add_fused_lm_head(model)
    ids = torch.arange(200).remainder(model.config.vocab_size)[None]
    labels = torch.full_like(ids, -100)
    labels[:, 150:170] = ids[:, 150:170]

    def measured() -> tuple[float, int]:
        with FlopCounterMode(display=False) as counter:
            loss = model(input_ids=ids, labels=labels, fused_lm_head=True).loss
            loss.backward()
        return float(loss.detach()), counter.get_total_flops()

    loss, all_positions = measured()
    with only_trained_positions(tiny_config()):
        same, trained_positions = measured()
    gradients = (
        4 * model.config.vocab_size * model.config.hidden_size
    )  # products written in place do not count
    assert same == pytest.approx(loss, rel=1e-6)
    assert all_positions - trained_positions == (199 - 20) * gradients


def test_an_adapter_is_merged_and_runs_in_llama(request_: Request) -> None:
    request = changed(request_, lora={"rank": 4, "alpha": 8})
    told = Told()
    train_student(request, told)
    assert told.plan
    assert told.plan.trained_parameters < told.plan.parameters
    assert told.losses[-1] < told.losses[0]
    checkpoint = request.out / "checkpoint"
    assert not [name for name in weight_names(checkpoint) if "lora" in name]
    _refuse_lossy_merge(Path(request.student), checkpoint)
    assert export_gguf(request.out, "f16").is_file()
    assert train_student(request, Told()) == read_finished(request.out / "checkpoint")


def _refuse_lossy_merge(student: Path, checkpoint: Path) -> None:
    """Every merged weight is the exact sum, rounded once, than which 16 bits hold nothing nearer; and what the
    student says moves by little of what the adapter moves it."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    def load(folder: Path) -> torch.nn.Module:
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()

    kept = json.loads((checkpoint / "adapter" / "adapter_config.json").read_text())
    assert kept["base_model_name_or_path"] == student.name
    exact = PeftModel.from_pretrained(load(student), str(checkpoint / "adapter")).eval()
    served, ids = load(checkpoint), torch.arange(200).remainder(250)[None]
    with torch.no_grad():
        wanted = exact(ids).logits
        apart, moved = (
            (model(ids).logits - wanted).square().mean().sqrt() for model in (served, load(student))
        )
        sums = exact.merge_and_unload().state_dict()
    for name, weight in served.state_dict().items():
        assert torch.equal(weight, sums[name].to(torch.bfloat16).float()), name
    print(f"logits: the adapter moves them by {moved:.4f}, merging and rounding it by {apart:.5f}")
    assert apart < 0.1 * moved
    finished = read_finished(checkpoint)
    assert finished.rounding
    assert 0 < finished.rounding < 0.2
    assert f"changes the weights by {finished.rounding:.1%}" in (checkpoint / "README.md").read_text()


def test_packed_rows_train_the_same_tokens(request_: Request, tmp_path: Path, bare_student: Path) -> None:
    """One step over all rows: the loss is the mean over the same tokens, packed or not."""
    rows = make_data(tmp_path / "three", bare_student, rows=3)
    losses = []
    for packing, batch in ((False, 3), (True, 1)):
        settings = {"packing": packing, "batch": batch, "max_steps": 1, "warmup_steps": 0, "sequence": 8192}
        request = msgspec.structs.replace(request_, dataset=rows, out=tmp_path / str(packing))
        told = Told()
        train_student(changed(request, **settings), told)
        losses += told.losses
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_loss_that_is_no_number_ends_it(request_: Request) -> None:
    request = changed(request_, learning_rate=0.1, max_grad_norm=1e9, weight_decay=1e30, warmup_steps=0)
    with pytest.raises(TrainError, match="training has come apart"):
        train_student(request, Told())
    assert not (request.out / "checkpoint").exists()


def test_layers_that_are_not_there(request_: Request) -> None:
    request = changed(request_, lora={"targets": ["qkv_fused"]})
    with pytest.raises(TrainError, match=r"names qkv_fused, which tiny has not: it has down_proj"):
        train_student(request, Told())


def test_one_gpu_is_used_however_many_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else TRL refuses what it has loaded: transformers counts all GPUs in sight."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    config = tiny_config(**{"device.gpu": "h100", "precision": "fp32"})
    assert _arguments(config, 4, tmp_path).n_gpu == 1


@pytest.mark.parametrize("kernel", ["auto", "cudnn"])
def test_rows_side_by_side_are_not_left_to_cudnn(kernel: str) -> None:
    """With their mask its gradients can be no numbers, and PyTorch prefers it on Hopper."""
    one = tiny_config(**{"trl.attention": kernel})
    with attention(one):
        assert torch.backends.cuda.cudnn_sdp_enabled()
    with attention(msgspec.structs.replace(one, micro_batch=2)):
        assert not torch.backends.cuda.cudnn_sdp_enabled()
        assert torch.backends.cuda.mem_efficient_sdp_enabled()
    assert torch.backends.cuda.cudnn_sdp_enabled()


def test_a_gpu_without_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton would say it after all weights are loaded."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("sysconfig.get_path", lambda *_: str(tmp_path))
    config = tiny_config(**{"device.gpu": "h100"})
    monkeypatch.setenv("CC", "cc")
    with pytest.raises(SeraError, match=r"needs the headers of Python, .* there is no .*Python\.h"):
        refuse_missing(config)
    (tmp_path / "headers").mkdir()
    (tmp_path / "headers" / "Python.h").touch()
    monkeypatch.setenv("CPATH", f"{tmp_path}:{tmp_path / 'headers'}")
    refuse_missing(config)
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SeraError, match=r"needs a C compiler, for Triton: install gcc"):
        refuse_missing(config)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(request_: Request) -> None:
    with pytest.raises(TrainError, match=r"device.gpu is h100, and torch sees no GPU here"):
        train_student(changed(request_, device={"gpu": "h100"}), Told())
    assert not (request_.out / "tokens").exists()


def test_a_gpu_that_is_full_already(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of something else, which no forecast knows."""

    class Full:
        config = SimpleNamespace()

        def to(self, _place: str) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("sera.training.trl.loading.load_whole", lambda *_, **__: Full())
    job = SimpleNamespace(config=tiny_config(**{"device.gpu": "h100"}), student=SimpleNamespace(name="tiny"))
    with pytest.raises(ModelError, match=r"the model tiny does not fit on the GPU.*out of memory"):
        load_model(job)


@pytest.mark.skipif(find_spec("torchao") is not None, reason="torchao is here")
def test_a_library_that_is_not_there(request_: Request) -> None:
    with pytest.raises(SeraError, match=r"trl.optimizer=adamw_8bit needs a library: pip install torchao"):
        train_student(changed(request_, trl={"optimizer": "adamw_8bit"}), Told())


@pytest.mark.parametrize("damage", [lambda whole: b"nothing", lambda whole: whole[:-1000], lambda whole: b""])
def test_weights_that_are_no_weights(
    request_: Request, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    broken = Path(shutil.copytree(request_.student, tmp_path / "broken"))
    weights = broken / "model.safetensors"
    weights.write_bytes(damage(weights.read_bytes()))
    with pytest.raises(SeraError, match="the weights of broken cannot be loaded"):
        train_student(msgspec.structs.replace(request_, student=str(broken)), Told())


def test_a_folder_without_weights(request_: Request, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(request_.student, tmp_path / "broken"))
    (broken / "model.safetensors").unlink()
    with pytest.raises(SeraError, match="the weights of broken cannot be loaded"):
        train_student(msgspec.structs.replace(request_, student=str(broken)), Told())


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As if the disk were full: a file cannot grow beyond."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_no_half_checkpoint(request_: Request) -> None:
    with files_of_at_most(60_000), pytest.raises(TrainError, match=r"failed|saved|written"):
        train_student(request_, Told())
    assert not (request_.out / "checkpoint").exists()
    train_student(request_, Told())
    assert (request_.out / "checkpoint" / "sera.json").is_file()


# ── what other trainers leave ─────────────────────────────────────────────────────────────────────


@pytest.fixture
def wrapped(request_: Request, student_folder: Path, tmp_path: Path) -> Path:
    """The student's weights under the names that checkpointing and compiling give them."""
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(student_folder, tmp_path / "wrapped"))
    plain = load_file(folder / "model.safetensors")
    odd = {
        f"_orig_mod.{name.replace('.self_attn.', '._checkpoint_wrapped_module.self_attn.')}": value
        for name, value in plain.items()
    }
    save_file(odd, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_wrapped_names_are_repaired(wrapped: Path, student_folder: Path) -> None:
    from safetensors.torch import load_file

    assert len(repair_names(wrapped)) == len(weight_names(student_folder))
    before, after = (load_file(folder / "model.safetensors") for folder in (student_folder, wrapped))
    assert before.keys() == after.keys()
    assert all(before[name].equal(after[name]) for name in before)


def test_a_wrapped_checkpoint_is_finished(request_: Request, wrapped: Path) -> None:
    """What the trainer has left stays as it is, although our files are links to it; its states, which may be
    many times as large, are left alone: here one has a file that cannot be copied."""
    index = wrapped / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict.fromkeys(weight_names(wrapped), "model.safetensors")}))
    (wrapped / "checkpoint-2").mkdir()
    (wrapped / "checkpoint-2" / "optimizer.pt").symlink_to("nowhere")
    before = {file.name: file.read_bytes() for file in wrapped.glob("*.*") if file.is_file()}
    job, plan = plan_training(request_)
    finish(job, plan, wrapped, request_.out)
    assert weight_names(request_.out / "checkpoint") == weight_names(Path(request_.student))
    assert {file.name: file.read_bytes() for file in wrapped.glob("*.*") if file.is_file()} == before
    assert not (request_.out / "checkpoint" / "repaired").exists()


def test_weights_are_finished_in_sixteen_bits(student_folder: Path, tmp_path: Path) -> None:
    """In 32 they would take twice the memory, on a machine that has just trained them."""
    model, written = _whole(student_folder, tmp_path)
    assert ({str(weight.dtype) for weight in model.parameters()}, written.repaired) == ({"torch.bfloat16"}, 0)


def test_weights_of_another_model_are_not_finished(request_: Request, wrapped: Path) -> None:
    from safetensors.torch import load_file, save_file

    repair_names(wrapped)
    values = load_file(wrapped / "model.safetensors")
    values.pop("model.norm.weight")
    save_file(values, wrapped / "model.safetensors", metadata={"format": "pt"})
    job, plan = plan_training(request_)
    with pytest.raises(TrainError, match=r"missing: model.norm.weight"):
        finish(job, plan, wrapped, request_.out)
    assert not (request_.out / "checkpoint").exists()
