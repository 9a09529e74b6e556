"""Priors."""

from math import prod
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from codeword.config.base import Config, Dilations, Kernel, Width

# The walk computes every cell of the grid, also for a smaller signal, and no weight confirms their number.
MOST_CELLS = 1 << 14


def _few_cells(grid: tuple[int, ...]) -> tuple[int, ...]:
    if (cells := prod(grid)) > MOST_CELLS:
        raise ValueError(f"a grid of {cells} cells is too large; at most {MOST_CELLS} are allowed")
    return grid


class UniformPriorConfig(Config):
    """Every code equally likely."""

    kind: Literal["uniform"] = "uniform"


class LearnedPriorConfig(Config):
    """Fields of every trained prior."""

    conditional: bool = True
    """Learn p(codes | label) in addition to p(codes), if the data has classes."""
    label_dropout: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Fraction of training examples with the null class; above 0, because only these train p(codes)."""


class PixelCNNConfig(LearnedPriorConfig):
    """Gated PixelCNN (van den Oord et al. 2016): one stack for each axis, no blind spot."""

    kind: Literal["pixelcnn"] = "pixelcnn"
    layers: Annotated[int, Field(ge=1, le=256)] = 12
    width: Width = 64
    kernel: Kernel = 3
    head_width: Width = 256


class WaveNetConfig(LearnedPriorConfig):
    """WaveNet (van den Oord et al. 2016): dilated causal gated layers over a sequence of codes of any length."""

    kind: Literal["wavenet"] = "wavenet"
    dilations: Dilations = (1, 2, 4, 8, 16, 32) * 2
    width: Width = 128
    skip_width: Width = 256
    head_width: Width = 256


class _AttentionConfig(LearnedPriorConfig):
    """Fields of the priors with attention."""

    # Here, because the fingerprint of a model depends on the order of its fields.
    kind: str
    layers: Annotated[int, Field(ge=1, le=256)] = 6
    width: Width = 128
    heads: Annotated[int, Field(ge=1, le=256)] = 4
    hidden: Width = 512
    """Number of hidden units of each layer."""
    head_width: Width = 256
    # Left out while 0, so that older models keep their fingerprints.
    dropout: Annotated[float, Field(ge=0, lt=1, exclude_if=lambda fraction: not fraction)] = 0.0
    """Fraction of the numbers that each layer adds which a training step leaves out (Srivastava et al. 2014)."""

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads, {self.heads}, not {self.width}")
        return self


class TransformerConfig(_AttentionConfig):
    """Transformer over the cells in raster order, which sees as far along each axis as the grid of training."""

    kind: Literal["transformer"] = "transformer"


class MaskedConfig(_AttentionConfig):
    """Masked transformer (Chang et al. 2022, MaskGIT): draws many cells at a time, and any of them given the others."""

    kind: Literal["masked"] = "masked"
    passes: Annotated[int, Field(ge=1, le=MOST_CELLS)] = 12
    """Number of passes of the network in which all cells are drawn."""


PriorConfig = Annotated[
    UniformPriorConfig | PixelCNNConfig | WaveNetConfig | TransformerConfig | MaskedConfig, Field(discriminator="kind")
]


class PriorModelConfig(Config):
    """A prior and the shape of its codes; the contents of a prior's `config.json`."""

    architecture: PriorConfig
    grid: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, max_length=3), AfterValidator(_few_cells)
    ]
    codebook_sizes: Annotated[tuple[Annotated[int, Field(ge=1, le=1 << 20)], ...], Field(min_length=1, max_length=64)]
    """The number of codewords of each code; it is 1 for continuous latents, whose code carries no information."""
    classes: Annotated[int, Field(ge=0, le=1 << 20)] = 0
    # Left out while empty, so that older models keep their fingerprints.
    served_codes: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...], Field(max_length=64, exclude_if=lambda numbers: not numbers)
    ] = ()
    """Numbers of leading codes of each cell, below K and in increasing order, that the prior also models."""

    @model_validator(mode="after")
    def _served_codes_are_fewer(self) -> Self:
        numbers, all_codes = self.served_codes, len(self.codebook_sizes)
        if list(numbers) != sorted(set(numbers)) or any(n >= all_codes for n in numbers):
            raise ValueError(
                f"served_codes must be different numbers in increasing order below {all_codes}, the number of codes, "
                f"not {list(numbers)}"
            )
        return self


class PairPriorConfig(Config):
    """A prior of pairs: the shapes of the codes of two media under one architecture; its `config.json`."""

    first: PriorModelConfig
    second: PriorModelConfig

    @model_validator(mode="after")
    def _one_transformer(self) -> Self:
        ours, theirs = self.first.architecture, self.second.architecture
        if not isinstance(ours, TransformerConfig) or ours != theirs or self.first.classes != self.second.classes:
            raise ValueError("first and second must have the same classes and one architecture, a transformer")
        return self
