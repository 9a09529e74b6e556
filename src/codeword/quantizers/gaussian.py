"""The continuous latents of a variational autoencoder (Kingma and Welling 2014), for comparison with codes."""

import torch
from torch import Tensor, nn

from codeword.config import GaussianLatentsConfig
from codeword.errors import UnsupportedError
from codeword.quantizers.base import Quantized, Quantizer

# exp(-8 / 2) of a prior of deviation 1: finer latents than any decoder can tell apart.
_LOG_VARIANCE_RANGE = (-8.0, 8.0)


class GaussianLatents(Quantizer):
    """Each vector becomes a draw from a Gaussian of `latent_dim` independent numbers, whose prior is standard normal.

    The `nats` of a vector are the divergence of this Gaussian from the prior (appendix B of the paper). Together with
    the nats of the signal they are the negative evidence lower bound (eq. 3), estimated by one draw. Without a
    generator the draw is always the same. There is one codeword, so the codes carry no information.
    """

    codebook_sizes = (1,)

    def __init__(self, config: GaussianLatentsConfig) -> None:
        super().__init__()
        self.dim = config.dim
        self.project_in = nn.Linear(config.dim, 2 * config.latent_dim)
        self.project_out = nn.Linear(config.latent_dim, config.dim)

    def forward(self, z: Tensor, *, generator: torch.Generator | None = None) -> Quantized:
        with torch.autocast(z.device.type, enabled=False):
            mean, log_variance = self.project_in(z.float()).chunk(2, -1)
            log_variance = log_variance.clamp(*_LOG_VARIANCE_RANGE)
            noise = torch.randn(mean.shape, generator=generator or torch.Generator().manual_seed(0)).to(z.device)
            vectors = self.project_out(mean + (log_variance / 2).exp() * noise)
            nats = (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1) / 2
        codes = torch.zeros(*z.shape[:-1], 1, dtype=torch.int64, device=z.device)
        return Quantized(vectors, codes, torch.zeros_like(nats), nats)

    def encode(self, z: Tensor) -> Tensor:
        raise _no_codes()

    def decode(self, codes: Tensor) -> Tensor:
        raise _no_codes()

    def codewords(self) -> list[Tensor]:
        raise _no_codes()


def _no_codes() -> UnsupportedError:
    return UnsupportedError(
        "This tokenizer has continuous latents (a VAE) and no codes, so it can only be trained and evaluated; use a "
        "quantizer of another kind."
    )
