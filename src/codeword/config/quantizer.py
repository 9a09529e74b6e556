"""Quantizers."""

from math import log2, prod
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from codeword.config.base import Alphabet, CodebookSizes, Config, Fraction, NonNegative, Positive, Width

ChannelLevels = Annotated[int, Field(ge=2, le=1024)]


class DynamicSizeConfig(Config):
    """A codebook that grows and shrinks in training toward one of three targets; `codebook_sizes` are then the most.

    The kept tokenizer has the codewords that the training split uses.
    """

    kind: Literal["dynamic"] = "dynamic"
    start: Alphabet = 32
    rate_bits: Positive | None = None
    """Target: the entropy of the frequencies of codewords, in bits a code."""
    error_share: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Target: the mean squared distance to the codewords, as a share of the variance of the vectors."""
    price: Positive | None = None
    """Target: one more bit a code would save this share of the variance in squared distance (of Gaussian vectors)."""
    every: PositiveInt = 20
    """Training steps from one change to the next."""
    steps: PositiveInt = 2000
    """Training steps after which the size stays, so that decoder and averaged weights settle."""

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        targets = {name: getattr(self, name) for name in ("rate_bits", "error_share", "price")}
        if len(given := [name for name, value in targets.items() if value is not None]) != 1:
            raise ValueError(f"give one of {', '.join(targets)}, not {' and '.join(given) or 'none'}")
        return self


class CodebookConfig(Config):
    """Learning of the codebooks, in every quantizer that has them."""

    update: Literal["ema", "gradient", "linear"] = "ema"
    """Codewords are moving averages of their vectors ("ema"), follow the gradient of the loss ("gradient"), or are one
    learned linear map of fixed vectors ("linear": SimVQ, Zhu et al. 2024), which also moves unused codewords."""
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.99
    beta: NonNegative = 0.25
    cosine: bool = False
    init: Literal["kmeans", "data", "uniform"] = "kmeans"
    revive_below: Fraction = 0.05
    """A codeword used less than this fraction of uniform usage moves to a random vector; 0 disables this."""
    # These are left out at their defaults, so that older models keep their fingerprints.
    estimator: Annotated[
        Literal["straight-through", "rotation", "diveq"],
        Field(exclude_if=lambda estimator: estimator == "straight-through"),
    ] = "straight-through"
    """The decoder's gradient reaches the encoder unchanged ("straight-through"), or through the rotation and scaling
    that turn the vector into its codeword ("rotation", Fifty et al. 2024), or is divided between the vector and its
    codeword, without a loss of the quantizer ("diveq", Vali et al. 2025, for update = "gradient" or "linear")."""
    rate_weight: Annotated[NonNegative, Field(exclude_if=lambda weight: not weight)] = 0.0
    """The search minimises squared distance + rate_weight * bits, where the bits of a codeword are -log2 of its share
    of all uses (ECVQ, Chou et al. 1989); 0 finds the nearest codeword. Rare codewords are then used even less, so
    `revive_below` should be 0."""
    size: Annotated[DynamicSizeConfig | None, Field(exclude_if=lambda size: size is None)] = None
    """None keeps `codebook_sizes`. Codewords of a dynamic size leave rather than move to random vectors."""

    @model_validator(mode="after")
    def _estimator_moves_codewords(self) -> Self:
        if self.estimator == "diveq" and self.update == "ema":
            raise ValueError("estimator 'diveq' moves codewords by gradients; set update = 'gradient'")
        return self

    def _check_size(self, codebook_sizes: tuple[int, ...]) -> None:
        """Raise ValueError if a dynamic size does not fit the most codewords of each codebook."""
        size, most = self.size, min(codebook_sizes)
        if size is None:
            return
        if self.update != "ema":
            raise ValueError(f"size needs update = 'ema', not {self.update!r}")
        if size.start > most:
            raise ValueError(
                f"size.start is {size.start}, but codebook_sizes allows at most {most} codewords; raise it, or start "
                f"with fewer"
            )
        if size.rate_bits is not None and size.rate_bits >= log2(most):
            raise ValueError(
                f"size.rate_bits must be below {log2(most):g}, the bits of {most} codewords, not {size.rate_bits:g}; "
                f"raise codebook_sizes, or ask for fewer bits"
            )


class VectorQuantizerConfig(CodebookConfig):
    """Nearest codeword (van den Oord et al. 2017); several `codebook_sizes` make product codes."""

    kind: Literal["vector"] = "vector"
    codebook_sizes: CodebookSizes = (512,)
    dim: Width = 64
    lookup_dim: Width | None = None
    """Dimension of the searched space, over all codes together; None searches the `dim` vectors themselves."""

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        self._check_size(self.codebook_sizes)
        searched = self.lookup_dim or self.dim
        if searched % len(self.codebook_sizes):
            raise ValueError(
                f"the searched vector of {searched} numbers must divide into {len(self.codebook_sizes)} equal "
                f"parts, one for each of codebook_sizes"
            )
        return self


class ResidualQuantizerConfig(CodebookConfig):
    """Each codebook codes the residual of those before it (RVQ), so that fewer leading codes give a coarser signal."""

    kind: Literal["residual"] = "residual"
    codebook_sizes: CodebookSizes = (512,) * 8
    dim: Width = 256
    lookup_dim: Width | None = 64
    """Dimension of the searched space; None searches the `dim` vectors themselves."""
    served_codes: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(max_length=64)] = ()
    """Numbers of leading codes that also decode: training draws one of them, or all codes, for each signal."""
    all_codes_probability: Fraction = 0.25
    """Fraction of training signals that keep all codes, if there are `served_codes`."""

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        self._check_size(self.codebook_sizes)
        if any(n >= len(self.codebook_sizes) for n in self.served_codes):
            raise ValueError(f"served_codes must be below {len(self.codebook_sizes)}, the number of codes")
        return self


class FiniteScalarQuantizerConfig(Config):
    """FSQ (Mentzer et al. 2023): each channel is rounded to its own few levels; one code per cell."""

    kind: Literal["finite-scalar"] = "finite-scalar"
    channel_levels: Annotated[tuple[ChannelLevels, ...], Field(min_length=1, max_length=16)] = (8, 8, 8)
    dim: Width = 64

    @model_validator(mode="after")
    def _product_is_an_alphabet(self) -> Self:
        if (size := prod(self.channel_levels)) > 1 << 20:
            raise ValueError(f"channel_levels multiply to {size} codewords; at most {1 << 20} are allowed")
        return self


class BinaryQuantizerConfig(Config):
    """BSQ (Zhao et al. 2024): the signs of a vector on the unit sphere are the bits of one code per cell."""

    kind: Literal["binary"] = "binary"
    bits: Annotated[int, Field(ge=1, le=20)] = 9
    dim: Width = 64
    beta: NonNegative = 0.25
    entropy_weight: NonNegative = 0.1
    """Weight of the entropy terms: each sign becomes certain, and both signs of a bit become equally frequent."""


class IdentityQuantizerConfig(Config):
    """The values of the signal are the codes, one for each channel; the codebooks have one size."""

    kind: Literal["identity"] = "identity"
    codebook_sizes: CodebookSizes

    @property
    def dim(self) -> int:
        return len(self.codebook_sizes)

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if len(set(self.codebook_sizes)) > 1:
            raise ValueError(f"codebook_sizes must be equal, not {list(self.codebook_sizes)}; use the largest for all")
        return self


class GaussianLatentsConfig(Config):
    """Continuous latents of a VAE (Kingma and Welling 2014) and no codes, for comparison: it only trains and evaluates.

    The loss of the likelihood must be in nats; that of `gaussian`, `spectral` and `spectrogram` is not.
    """

    kind: Literal["gaussian"] = "gaussian"
    latent_dim: Width = 16
    dim: Width = 64


class NoCodesConfig(Config):
    """A constant in place of the codes, for comparison: the likelihood alone, to see how many bits codes save."""

    kind: Literal["none"] = "none"
    dim: Width = 64


QuantizerConfig = Annotated[
    VectorQuantizerConfig
    | ResidualQuantizerConfig
    | FiniteScalarQuantizerConfig
    | BinaryQuantizerConfig
    | IdentityQuantizerConfig
    | GaussianLatentsConfig
    | NoCodesConfig,
    Field(discriminator="kind"),
]
