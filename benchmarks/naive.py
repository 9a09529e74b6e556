"""The usual public code, re-implemented from its description, as the peer for measurements of speed.

`NaiveTokenizer` and `naive_step` reproduce the model and training step of the most copied PyTorch VQ-VAE,
the notebook of github.com/zalandoresearch/pytorch-vq-vae: float32, contiguous NCHW, distances by the full
expansion |z|^2 + |e|^2 - 2 z.e over N x K, `argmin`, an N x K matrix of one-hot encodings that looks the
codewords up and sums the moving averages by matrix products, codewords replaced by new Parameters at each
step, ReLUs in place, Adam, the loss divided by the data's variance, and loss and perplexity read by `.item()`
after each step. `naive_sample` is the sampling of the usual PixelCNN repositories: the whole network once for
each symbol, to read the logits of one cell; `naive_continue` that of the usual WaveNet repositories: the whole
network over its receptive field for each step. None of it is slowed on purpose, and none of it is tuned.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.nn.walk import Choose
from codeword.priors import WaveNet
from codeword.priors.cell import CellPrior

CONV: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d}
TRANSPOSED: dict[int, Any] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d}


class NaiveSizes(NamedTuple):
    """The sizes of the tokenizer in the notebook; `ndim` 1 is the same code on waveforms.

    Rank 1 is the course report's (Kalal, Karuturi and Budireddy 2024, "VQVAE - Images & Audio").
    """

    ndim: int = 2
    channels: int = 3
    width: int = 128
    residual_width: int = 32
    residual_blocks: int = 2
    codewords: int = 512
    dim: int = 64
    beta: float = 0.25
    decay: float = 0.99


class NaiveResidual(nn.Module):
    """ReLU-3x3-ReLU-1x1 without biases, added to its input, which the first ReLU has changed in place."""

    def __init__(self, ndim: int, width: int, hidden: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.ReLU(True),
            CONV[ndim](width, hidden, 3, padding=1, bias=False),
            nn.ReLU(True),
            CONV[ndim](hidden, width, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.block(x)
        return out


class NaiveQuantizer(nn.Module):
    """One-hot nearest codeword with moving averages."""

    size: Tensor

    def __init__(self, sizes: NaiveSizes) -> None:
        super().__init__()
        self.beta, self.decay, self.epsilon = sizes.beta, sizes.decay, 1e-5
        self.codewords, self.dim = sizes.codewords, sizes.dim
        self.embedding = nn.Embedding(self.codewords, self.dim)
        self.embedding.weight.data.normal_()
        self.register_buffer("size", torch.zeros(self.codewords))
        self.sums = nn.Parameter(torch.empty(self.codewords, self.dim).normal_())

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs (B, D, *G) to the loss (), the codewords (B, D, *G) and the batch's perplexity ()."""
        inputs = inputs.movedim(1, -1).contiguous()
        flat = inputs.view(-1, self.dim)
        _, encodings = one_hot(flat, self.embedding.weight)
        quantized = torch.matmul(encodings, self.embedding.weight).view(inputs.shape)
        if self.training:
            self.size = self.size * self.decay + (1 - self.decay) * torch.sum(encodings, 0)
            total = torch.sum(self.size.data)
            self.size = (self.size + self.epsilon) / (total + self.codewords * self.epsilon) * total
            sums = torch.matmul(encodings.t(), flat)
            self.sums = nn.Parameter(self.sums * self.decay + (1 - self.decay) * sums)
            self.embedding.weight = nn.Parameter(self.sums / self.size.unsqueeze(1))
        loss = self.beta * F.mse_loss(quantized.detach(), inputs)
        quantized = inputs + (quantized - inputs).detach()
        used = torch.mean(encodings, dim=0)
        perplexity = torch.exp(-torch.sum(used * torch.log(used + 1e-10)))
        return loss, quantized.movedim(-1, 1).contiguous(), perplexity


class NaiveTokenizer(nn.Module):
    """Signals (B, C, *S) in [-1/2, 1/2] to the quantizer's loss (), reconstructions and perplexity ()."""

    def __init__(self, sizes: NaiveSizes) -> None:
        super().__init__()
        width, conv, transposed = sizes.width, CONV[sizes.ndim], TRANSPOSED[sizes.ndim]

        def residuals() -> list[nn.Module]:
            blocks = [NaiveResidual(sizes.ndim, width, sizes.residual_width) for _ in range(sizes.residual_blocks)]
            return [*blocks, nn.ReLU()]

        self.encoder = nn.Sequential(
            conv(sizes.channels, width // 2, 4, 2, 1),
            nn.ReLU(),
            conv(width // 2, width, 4, 2, 1),
            nn.ReLU(),
            conv(width, width, 3, 1, 1),
            *residuals(),
            conv(width, sizes.dim, 1),
        )
        self.quantizer = NaiveQuantizer(sizes)
        self.decoder = nn.Sequential(
            conv(sizes.dim, width, 3, 1, 1),
            *residuals(),
            transposed(width, width // 2, 4, 2, 1),
            nn.ReLU(),
            transposed(width // 2, sizes.channels, 4, 2, 1),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        loss, quantized, perplexity = self.quantizer(self.encoder(x))
        return loss, self.decoder(quantized), perplexity


def naive_step(
    model: NaiveTokenizer, optimizer: torch.optim.Optimizer, x: Tensor, variance: float
) -> tuple[float, float]:
    """One training step on x (B, C, *S) in [-1/2, 1/2]; the error over `variance`, and the perplexity."""
    optimizer.zero_grad()
    vq_loss, reconstruction, perplexity = model(x)
    error = F.mse_loss(reconstruction, x) / variance
    (error + vq_loss).backward()
    optimizer.step()
    return error.item(), perplexity.item()


def one_hot(z: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors (N, D) and codebook (K, D) to codes (N, 1) int64 and encodings (N, K)."""
    distances = torch.sum(z**2, dim=1, keepdim=True) + torch.sum(codebook**2, dim=1) - 2 * torch.matmul(z, codebook.t())
    codes = torch.argmin(distances, dim=1).unsqueeze(1)
    encodings = torch.zeros(len(z), len(codebook), device=z.device)
    encodings.scatter_(1, codes, 1)
    return codes, encodings


@torch.no_grad()
def naive_quantize(z: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
    """Codes (N,) and codewords (N, D) by one-hot matrices."""
    codes, encodings = one_hot(z, codebook)
    return codes.squeeze(1), torch.matmul(encodings, codebook)


@torch.no_grad()
def naive_nearest(z: Tensor, codebook: Tensor) -> Tensor:
    """`torch.cdist` and `argmin`, to codes (N,)."""
    return torch.cdist(z, codebook).argmin(1)


@torch.no_grad()
def naive_logits(prior: CellPrior, codes: Tensor, i: int) -> Tensor:
    """The whole network over codes (B, *G, K), to read the logits (B, codebook_sizes) of symbol i."""
    cell, k = divmod(i, len(prior.codebook_sizes))
    return list(prior.all_logits(codes))[k].flatten(1, -2)[:, cell]


@torch.no_grad()
def naive_sample(prior: CellPrior, batch: int, choose: Choose) -> Tensor:
    """Codes (B, *G, K) as `walk` gives them, by one whole pass for each symbol."""
    where = prior.head.weight.device
    symbols = torch.zeros(batch, prior.symbols, dtype=torch.int64, device=where)
    codes = symbols.view(batch, *prior.grid, len(prior.codebook_sizes))
    for i in range(prior.symbols):
        symbols[:, i] = choose(naive_logits(prior, codes, i), i)
    return codes


@torch.no_grad()
def naive_continue(prior: WaveNet, codes: Tensor, cells: int, choose: Choose) -> Tensor:
    """Codes (B, T, 1) continued by `cells` cells, each from one pass over its receptive field."""
    for i in range(cells):
        # One position more than the receptive field: its logits are read, its value has no influence.
        window = torch.cat([codes, torch.zeros_like(codes[:, -1:])], 1)[:, -prior.stack.receptive_field - 1 :]
        symbols = choose(next(prior.all_logits(window))[:, -1], i)
        codes = torch.cat([codes, symbols[:, None, None]], 1)
    return codes
