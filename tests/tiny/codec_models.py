"""Tiny real models of every kind that the codec meets, and signals that their priors have learned to predict."""

from functools import cache
from math import pi

import torch
from tiny.tokenizers import SPEECH
from torch import Tensor

from codeword.codec import CompressOptions
from codeword.codec.codec import DEFAULTS
from codeword.codec.layout import Blocks
from codeword.coding import decode_signal, encode_signal
from codeword.config import (
    CategoricalConfig,
    ConvTrunkConfig,
    GaussianConfig,
    InterleavedConfig,
    LikelihoodConfig,
    LogisticMixtureConfig,
    PixelCNNConfig,
    PriorConfig,
    PriorModelConfig,
    QuantizerConfig,
    ResidualQuantizerConfig,
    TokenizerConfig,
    TransformerConfig,
    UniformPriorConfig,
    VectorQuantizerConfig,
    WaveNetConfig,
    WaveNetDecoderConfig,
)
from codeword.model import Model
from codeword.priors import build_prior
from codeword.tokenizer import Tokenizer

GRID = {1: (16,), 2: (4, 3)}
_PRODUCT = VectorQuantizerConfig(codebook_sizes=(16, 8), dim=8)
_RATES = ResidualQuantizerConfig(codebook_sizes=(8, 8, 4), dim=8, lookup_dim=4, served_codes=(1, 2))
_PIXELCNN = PixelCNNConfig(layers=2, width=8, kernel=3, head_width=16)
_TRANSFORMER = TransformerConfig(layers=2, width=8, heads=2, hidden=16, head_width=16)
_WAVENET = WaveNetConfig(dilations=(1, 2, 4), width=8, skip_width=8, head_width=8)

_INTERLEAVED = InterleavedConfig(width=8, hidden=4, blocks=1, features=4, output=LogisticMixtureConfig(components=2))

LIKELIHOODS: dict[str, tuple[int, LikelihoodConfig]] = {
    "gaussian": (2, GaussianConfig()),
    "categorical": (2, CategoricalConfig()),
    "mixture": (2, LogisticMixtureConfig(components=2)),
    "mixture-row": (1, LogisticMixtureConfig(components=2)),
    "interleaved": (2, _INTERLEAVED),
    "interleaved-row": (1, _INTERLEAVED),
    "decoder": (1, WaveNetDecoderConfig(dilations=(1, 2, 4), width=8, skip_width=8, features=4)),
}


def sine(ndim: int, size: tuple[int, ...], *, channels: int, values: int, seed: int = 0) -> Tensor:
    """A signal (C, *S), integers in [0, values): waves along each axis and a little noise."""
    generator = torch.Generator().manual_seed(seed)
    wave = torch.zeros(size)
    for axis, n in enumerate(size):
        along = torch.sin(2 * pi * (torch.arange(n) / 40 + seed / 7))
        wave = wave + along.view([n if a == axis else 1 for a in range(ndim)])
    noisy = wave / ndim * 0.4 + 0.04 * torch.randn(channels, *size, generator=generator)
    return ((noisy + 0.5) * (values - 1)).round().clamp(0, values - 1).long()


def signal(model: Model, *size: int, seed: int = 0) -> Tensor:
    config = model.tokenizer.config
    return sine(config.ndim, size, channels=config.channels, values=config.values, seed=seed)


def build(
    config: TokenizerConfig, architecture: PriorConfig, *, classes: int = 0, served_codes: tuple[int, ...] = ()
) -> Model:
    """A tokenizer whose codebooks lie on signals, and a prior that has seen some codes, all and the first ones."""
    torch.manual_seed(0)
    tokenizer = Tokenizer(config)
    size = {1: (640,), 2: (64, 48)}[config.ndim]
    x = torch.stack(
        [sine(config.ndim, size, channels=config.channels, values=config.values, seed=seed) for seed in range(4)]
    )
    tokenizer(x)
    tokenizer.eval()
    grid, codebook_sizes = GRID[config.ndim], tokenizer.quantizer.codebook_sizes
    prior = build_prior(
        PriorModelConfig(
            architecture=architecture,
            grid=grid,
            codebook_sizes=codebook_sizes,
            classes=classes,
            served_codes=served_codes,
        )
    )
    for name, parameter in prior.named_parameters():
        if "label" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    if architecture.kind != "uniform":
        found = tokenizer.encode(x)
        blocks = Blocks(tuple(found.shape[1:-1]), grid)
        codes = torch.cat([blocks.cut(one)[blocks.mask().flatten(1).all(1)] for one in found])
        labels = torch.arange(len(codes)) * 4 // len(codes) % classes if classes else None
        served = torch.tensor(prior.served_codes)
        counts = served[torch.arange(len(codes)) % len(served)] if len(served) > 1 else None
        optimizer = torch.optim.Adam(prior.parameters(), lr=0.02)
        for _ in range(40 * len(served)):
            optimizer.zero_grad()
            prior(codes, labels, counts).backward()
            optimizer.step()
    return Model(tokenizer, prior.eval())


@cache
def model(
    ndim: int,
    prior: str = "pixelcnn",
    *,
    likelihood: str | None = None,
    rates: bool = False,
    classes: int = 0,
    served_codes: tuple[int, ...] = (),
) -> Model:
    """A model of signals of rank 2 (3 channels) or 1 (1 channel); with `rates`, its quantizer serves several rates.

    Its prior serves `served_codes` besides all codes.
    """
    quantizer: QuantizerConfig = _RATES if rates else _PRODUCT
    config = TokenizerConfig(
        ndim=ndim,  # type: ignore[arg-type]
        channels=3 if ndim == 2 else 1,
        values=256,
        trunk=ConvTrunkConfig(width=8, residual_width=4, residual_blocks=1),
        quantizer=quantizer,
        likelihood=LIKELIHOODS[likelihood or "gaussian"][1],
        conditional=classes > 0,
        classes=tuple("abcdefgh"[:classes]),
    )
    architectures: dict[str, PriorConfig] = {
        "pixelcnn": _PIXELCNN,
        "transformer": _TRANSFORMER,
        "wavenet": _WAVENET,
        "uniform": UniformPriorConfig(),
    }
    return build(config, architectures[prior], classes=classes, served_codes=served_codes)


@cache
def speech() -> Model:
    """Log-mel frames in, an inverse Fourier transform out, several rates, two speakers."""
    return build(SPEECH.model_copy(update={"quantizer": _RATES}), _WAVENET, classes=2)


def codes_of(model: Model, x: Tensor) -> Tensor:
    """The codes (*G, K) of a signal (C, *S)."""
    return encode_signal(model.tokenizer, x)


def decoded(model: Model, x: Tensor, options: CompressOptions = DEFAULTS) -> Tensor:
    """The signal that a lossy file of x (C, *S) must give."""
    codes = codes_of(model, x)[..., : options.codes]
    return torch.cat(
        list(decode_signal(model.tokenizer, codes, size=tuple(x.shape[1:]), label=options.label)), -1
    ).long()
