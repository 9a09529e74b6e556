"""Quantizers."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from codeword.config.base import Alphabet, Config, Fraction, NonNegative, Width


class CodebookConfig(Config):
    """How codebooks learn, in every quantizer that has them."""

    update: Literal["ema", "gradient"] = "ema"
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.99
    beta: NonNegative = 0.25
    cosine: bool = False
    init: Literal["kmeans", "data", "uniform"] = "kmeans"
    revive_below: Fraction = 0.05
    """A codeword used less than this fraction of uniform usage is moved onto the data; 0 never does."""


class VectorQuantizerConfig(CodebookConfig):
    """Nearest codeword (van den Oord et al. 2017); several `codebook_sizes` make product codes."""

    kind: Literal["vector"] = "vector"
    codebook_sizes: Annotated[tuple[Alphabet, ...], Field(min_length=1, max_length=64)] = (512,)
    dim: Width = 64
    lookup_dim: Width | None = None
    """Size of the space searched, over all codes together; None searches the `dim` vectors themselves."""

    @model_validator(mode="after")
    def _dims_divide(self) -> Self:
        searched = self.lookup_dim or self.dim
        if searched % len(self.codebook_sizes):
            raise ValueError(
                f"the searched vector of {searched} numbers must divide into {len(self.codebook_sizes)} equal "
                f"parts, one for each of codebook_sizes"
            )
        return self


class ResidualQuantizerConfig(CodebookConfig):
    """Each codebook codes what those before it left over (RVQ), so that a prefix of the codes is a coarser signal."""

    kind: Literal["residual"] = "residual"
    codebook_sizes: Annotated[tuple[Alphabet, ...], Field(min_length=1, max_length=64)] = (512,) * 8
    dim: Width = 256
    lookup_dim: Width | None = 64
    """Size of the space searched; None searches the `dim` vectors themselves."""
    served_codes: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Numbers of codes that the model also serves: training hides the codes beyond, a random choice for each signal."""
    all_codes_probability: Fraction = 0.25
    """How often a training signal keeps all its codes, where there are `served_codes`."""

    @model_validator(mode="after")
    def _prefixes_are_shorter(self) -> Self:
        if any(n >= len(self.codebook_sizes) for n in self.served_codes):
            raise ValueError(f"served_codes must be below the {len(self.codebook_sizes)} codes that there are")
        return self


class FiniteScalarQuantizerConfig(Config):
    """FSQ (Mentzer et al. 2023): each channel is rounded to its own few levels; one code per cell."""

    kind: Literal["finite-scalar"] = "finite-scalar"
    channel_levels: Annotated[tuple[Annotated[int, Field(ge=2, le=1024)], ...], Field(min_length=1, max_length=16)] = (
        8,
        8,
        8,
    )
    dim: Width = 64

    @model_validator(mode="after")
    def _product_is_an_alphabet(self) -> Self:
        size = 1
        for levels in self.channel_levels:
            size *= levels
        if size > 1 << 20:
            raise ValueError(f"channel_levels multiply to {size} codewords; at most {1 << 20} are allowed")
        return self


QuantizerConfig = Annotated[
    VectorQuantizerConfig | ResidualQuantizerConfig | FiniteScalarQuantizerConfig, Field(discriminator="kind")
]
