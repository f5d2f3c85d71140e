"""The shape of a model: what its size, its memory and its arithmetic follow from. Dense models alone."""

from pathlib import Path

import msgspec

from sera.errors import ModelError, boundary


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What arithmetic and memory depend on."""

    architecture: str
    layers: int
    hidden: int
    width: int
    """Of the MLP."""
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    context: int
    """Longest conversation in tokens."""
    tied: bool
    """Whether the embedding is also the head."""

    @property
    def linear(self) -> int:
        """Parameters of the layers."""
        attention = 2 * self.hidden * self.head_dim * (self.heads + self.kv_heads)
        return self.layers * (attention + 3 * self.hidden * self.width)

    @property
    def parameters(self) -> int:
        """All parameters; biases and norms, below a thousandth, are not counted."""
        return self.linear + self.vocabulary * self.hidden * (1 if self.tied else 2)


class _Config(msgspec.Struct, frozen=True):
    """The part of a `config.json` that is read."""

    model_type: str
    num_hidden_layers: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    vocab_size: int
    max_position_embeddings: int
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    tie_word_embeddings: bool = False
    num_experts: int | None = None
    num_local_experts: int | None = None


def shape_of_folder(folder: Path) -> Shape:
    """By its `config.json`. Raises `ModelError` if that is damaged, or a mixture of experts."""
    file = folder / "config.json"
    with boundary(ModelError, f"the model {folder}", OSError, msgspec.DecodeError):
        config = msgspec.json.decode(file.read_bytes(), type=_Config)
    if config.num_experts or config.num_local_experts:
        raise ModelError(
            f"the model {folder} is a mixture of experts, which is not covered: take a dense one"
        )
    return Shape(
        architecture=config.model_type,
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        width=config.intermediate_size,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads or config.num_attention_heads,
        head_dim=config.head_dim or config.hidden_size // config.num_attention_heads,
        vocabulary=config.vocab_size,
        context=config.max_position_embeddings,
        tied=config.tie_word_embeddings,
    )
