"""A tiny tokenizer of speech, signals for it, a trunk of every kind, and models of signals that can be enumerated."""

import torch
from torch import Tensor

from codeword.config import (
    CategoricalConfig,
    ConvNeXtTrunkConfig,
    ConvTrunkConfig,
    ISTFTConfig,
    LogMelConfig,
    PriorModelConfig,
    QuantizerConfig,
    ResidualQuantizerConfig,
    ResidualTrunkConfig,
    SpectralConfig,
    TokenizerConfig,
    TrunkConfig,
    UniformPriorConfig,
)
from codeword.model import Model
from codeword.priors import build_prior
from codeword.tokenizer import Tokenizer

SPEECH = TokenizerConfig(
    ndim=1,
    channels=1,
    values=65536,
    sample_rate=8000,
    frontend=LogMelConfig(n_fft=64, hop=16, mels=8),
    trunk=ConvNeXtTrunkConfig(width=8, hidden=16, encoder_blocks=1, decoder_blocks=1, strides=(2,)),
    quantizer=ResidualQuantizerConfig(codebook_sizes=(8, 8, 8), dim=8, lookup_dim=4, served_codes=(1,)),
    head=ISTFTConfig(n_fft=64, hop=16),
    likelihood=SpectralConfig(windows=(64, 128), mels=8),
    conditional=True,
    classes=("ann", "bob"),
)

TRUNKS: list[TrunkConfig] = [
    ConvTrunkConfig(width=8, residual_width=4, residual_blocks=2, strides=(2, 3)),
    ConvTrunkConfig(width=4, residual_width=4, residual_blocks=0, strides=(5, 1, 2)),
    ResidualTrunkConfig(widths=(4, 4, 8), encoder_blocks=(1, 2, 1), decoder_blocks=(2, 1, 1), strides=(3, 4)),
    ResidualTrunkConfig(widths=(4,), encoder_blocks=(2,), decoder_blocks=(2,), strides=()),
    ResidualTrunkConfig(widths=(4, 8), encoder_blocks=(1, 2), decoder_blocks=(2, 1), strides=(2, 3)),
    ConvNeXtTrunkConfig(width=8, hidden=8, kernel=5, encoder_blocks=2, decoder_blocks=2, strides=(2, 3)),
]


def waveform(batch: int, samples: int) -> torch.Tensor:
    noise = torch.randn(batch, 1, samples, generator=torch.Generator().manual_seed(0))
    return (32768 + 3000 * noise).round().long().clamp(0, 65535)


def one_cell_model(ndim: int, quantizer: QuantizerConfig) -> Model:
    """One cell with one code of one codeword, and signals of 2 (rank 1) or 4 (rank 2) values, each 0 or 1."""
    torch.manual_seed(3)
    tokenizer = Tokenizer(
        TokenizerConfig(
            ndim=ndim,  # type: ignore[arg-type]
            channels=1,
            values=2,
            trunk=ConvTrunkConfig(width=16, residual_width=2, residual_blocks=0, strides=(2,)),
            quantizer=quantizer,
            likelihood=CategoricalConfig(),
        )
    ).eval()
    config = PriorModelConfig(architecture=UniformPriorConfig(), grid=(1,) * ndim, codebook_sizes=(1,))
    return Model(tokenizer, build_prior(config))


def every_binary_signal(ndim: int) -> Tensor:
    """All signals of `one_cell_model`: (2^(2^ndim), 1, *S)."""
    values = 2**ndim
    return torch.tensor([[i >> b & 1 for b in range(values)] for i in range(1 << values)]).view(-1, 1, *(2,) * ndim)
