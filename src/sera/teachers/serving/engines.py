"""How vLLM and SGLang are told the same things. Option names are from their own documentation."""

import shlex
from collections.abc import Callable, Iterator

import msgspec

from sera.records import Record
from sera.teachers.serving.facts import Engine, Model
from sera.teachers.serving.memory import Layout


class Flag(Record, frozen=True):
    """One option of a command, and why."""

    text: str
    reason: str


class Order(Record, frozen=True):
    """What the server is to be."""

    model: Model
    layout: Layout
    context: int
    answer: int
    """Tokens that a request asks for on top of its conversation, if the context has to have room for both."""
    concurrency: int
    host: str
    port: int

    @property
    def repository(self) -> str:
        """Where the weights are, for a shell."""
        return shlex.quote(self.model.fp8 if self.layout.precision == "fp8" else self.model.repository)

    @property
    def why_context(self) -> str:
        """Why the context is as long as it is."""
        if not self.answer:
            return _CONTEXT
        return (
            f"{self.context - self.answer:,} tokens of a conversation, and the {self.answer:,} of an answer "
            f"that each request asks for (teacher.max_tokens): the server refuses what might outgrow both"
        )


class EngineWords(msgspec.Struct, frozen=True):
    """One engine."""

    start: str
    fraction: float
    """Part of each GPU's memory that it is told to take."""
    flags: Callable[[Order], Iterator[Flag]]


_VLLM_SHARE, _SGLANG_SHARE = 0.90, 0.85
"""Of a GPU's memory: vLLM's default; SGLang keeps its activations outside of it."""
_WEIGHTS = {
    "bf16": "the weights as published: they fit, so nothing is lost to a smaller type",
    "fp8": "the FP8 variant: in BF16 there is room for fewer trajectories than asked for, or for none",
}
_NAMED = "what goes into --model and into each record"
_SPLIT = "one group over all GPUs: all rollouts share one prefix cache, which separate replicas would not"
_EXPERT = "whole experts on each GPU: split over all, an expert's width is no multiple of the FP8 block"
_CONTEXT = "longest conversation; one that outgrows it ends with its trajectory kept"
_AT_ONCE = "as many rollouts as the cache holds whole; more would push each other's prefixes out of it"
_TOOLS = (
    "turns the calls that the model writes into structured tool_calls; without, only the rollouts of a "
    "student that sera asks in text get anywhere"
)
_THINKS = "keeps the reasoning apart from the answer, where sera stores it"
_CACHE = "a call repeats all but the last messages of the one before it: about 97 % of prompt tokens"
_REPORT = "reports the cached tokens, without which costs and forecasts count every prompt in full"
_HOST = {
    True: "loopback only: nobody else on the network can use it",
    False: "as asked: others can reach it, so the key matters",
}
_KEY = "the key of the environment, never written out in a file"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def _vllm(order: Order) -> Iterator[Flag]:
    model, layout = order.model, order.layout
    yield Flag(text=order.repository, reason=_WEIGHTS[layout.precision])
    yield Flag(text=f"--served-model-name {model.name}", reason=_NAMED)
    if layout.gpus > 1:
        yield Flag(text=f"--tensor-parallel-size {layout.gpus}", reason=_SPLIT)
    if layout.expert:
        yield Flag(text="--enable-expert-parallel", reason=_EXPERT)
    yield Flag(text=f"--max-model-len {order.context}", reason=order.why_context)
    yield Flag(text=f"--max-num-seqs {order.concurrency}", reason=_AT_ONCE)
    yield Flag(
        text=f"--gpu-memory-utilization {_VLLM_SHARE}", reason="what the check of the memory reckons with"
    )
    if parser := model.tools.get("vllm"):
        yield Flag(text="--enable-auto-tool-choice", reason="vLLM refuses tools without it")
        yield Flag(text=f"--tool-call-parser {parser}", reason=_TOOLS)
    if parser := model.reasoning.get("vllm"):
        yield Flag(text=f"--reasoning-parser {parser}", reason=_THINKS)
    yield Flag(text="--enable-prefix-caching", reason=_CACHE)
    yield Flag(text="--enable-prompt-tokens-details", reason=_REPORT)
    yield Flag(text=f"--host {order.host}", reason=_HOST[order.host in _LOOPBACK])
    yield Flag(text=f"--port {order.port}", reason="the port of --teacher")


def _sglang(order: Order) -> Iterator[Flag]:
    model, layout = order.model, order.layout
    yield Flag(text=f"--model-path {order.repository}", reason=_WEIGHTS[layout.precision])
    yield Flag(text=f"--served-model-name {model.name}", reason=_NAMED)
    if layout.gpus > 1:
        yield Flag(text=f"--tp-size {layout.gpus}", reason=_SPLIT)
    if layout.expert:
        yield Flag(text=f"--ep-size {layout.gpus}", reason=_EXPERT)
    yield Flag(text=f"--context-length {order.context}", reason=order.why_context)
    yield Flag(text=f"--max-running-requests {order.concurrency}", reason=_AT_ONCE)
    yield Flag(
        text=f"--mem-fraction-static {_SGLANG_SHARE}", reason="what the check of the memory reckons with"
    )
    if parser := model.tools.get("sglang"):
        yield Flag(text=f"--tool-call-parser {parser}", reason=_TOOLS)
    if parser := model.reasoning.get("sglang"):
        yield Flag(text=f"--reasoning-parser {parser}", reason=_THINKS)
    yield Flag(text="--enable-cache-report", reason=f"{_REPORT}; the prefix cache itself is always on")
    yield Flag(text=f"--host {order.host}", reason=_HOST[order.host in _LOOPBACK])
    yield Flag(text=f"--port {order.port}", reason="the port of --teacher")
    yield Flag(
        text='--api-key "$SERA_API_KEY"', reason=f"{_KEY}; the machine's own process list does show it"
    )


ENGINES: dict[Engine, EngineWords] = {
    "vllm": EngineWords(start='VLLM_API_KEY="$SERA_API_KEY" vllm serve', fraction=_VLLM_SHARE, flags=_vllm),
    "sglang": EngineWords(start="python -m sglang.launch_server", fraction=_SGLANG_SHARE, flags=_sglang),
}
"""The engines, chosen here and nowhere else. vLLM takes its key from its own variable."""
