"""The settings of a model on this machine."""

from typing import Annotated, Literal

import msgspec

from sera.settings import Config, Count, Seconds


class LocalConfig(Config, frozen=True, tag_field="kind", tag="local"):
    """A model whose weights are on this machine, run by this machine."""

    model: str
    """A GGUF file, a folder in the Hugging Face form, or a name that `sera model list` shows."""
    format: Literal["", "hermes", "xml"] = ""
    """How tools and calls are written into the text: as in a dataset of that format, for a student trained on
    one, and for models whose own template knows no tools. Empty: as the model's own template has it."""
    temperature: Annotated[float, msgspec.Meta(ge=0)] = 0.6
    """Sampling temperature; 0 takes the likeliest token. 0.6 is the paper's."""
    max_tokens: Count = 2048
    """Longest answer in tokens. Small models that lose the thread never stop by themselves."""
    context: Count = 32_768
    """Longest conversation in tokens, for each request at work; the model's own limit if that is lower.
    Each token takes memory: some 50 KB in a model of 1.5 billion parameters."""
    parallel: Count = 1
    """Requests at work at once. Each has a context of its own; more are not quicker on a processor."""
    threads: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Threads of the processor; 0 for all cores."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where a folder's weights are run: `auto` takes a GPU if there is one. A GGUF runs on the processor."""
    load_timeout: Seconds = 300.0
    """Seconds until the weights must be loaded."""
    timeout: Seconds = 1800.0
    """Seconds one request may take: a long prompt takes a processor minutes."""
