"""Sampling of one symbol of the walk."""

from dataclasses import dataclass
from hashlib import sha256

import torch
from torch import Tensor

from codeword.errors import UsageError


def seeded(seed: int) -> torch.Generator:
    """The generator of a seed of any size and sign.

    PyTorch's own takes a seed modulo 2**32, and none beyond 64 bits, so that other seeds are hashed.
    """
    if not 0 <= seed < 1 << 32:
        seed = int(sha256(hex(seed).encode()).hexdigest()[:8], 16)
    return torch.Generator().manual_seed(seed)


@dataclass(frozen=True)
class Sampler:
    """A draw from the softmax of logits (B, n), with temperature, `top_k` and `top_p`.

    Temperature 0 takes the likeliest symbol. `top_k` keeps that number of likeliest symbols, `top_p` the smallest set
    of likeliest symbols with at least that probability mass (Holtzman et al. 2020). The generator lives on the CPU.

    Example:
        >>> import torch
        >>> Sampler(temperature=0)(torch.tensor([[0.1, 2.0, -1.0]]))
        tensor([1])

    Raises:
        UsageError: a setting is out of range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        if not self.temperature >= 0:
            raise UsageError(f"temperature must be 0 or more, not {self.temperature}.")
        if self.top_k is not None and self.top_k < 1:
            raise UsageError(f"top_k must be 1 or more, not {self.top_k}.")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top_p must lie above 0 and up to 1, not {self.top_p}.")

    def __call__(self, logits: Tensor, i: int = 0) -> Tensor:
        """Logits (B, n) of symbol i to symbols (B,); every symbol is drawn alike."""
        if self.temperature == 0:
            return logits.argmax(-1)
        probabilities = (logits.float() / self.temperature).softmax(-1)
        if self.top_k is not None and self.top_k < probabilities.shape[-1]:
            least = probabilities.topk(self.top_k).values[:, -1:]
            probabilities = probabilities * (probabilities >= least)
        if self.top_p < 1:
            ordered, places = probabilities.sort(-1, descending=True)
            ordered = ordered / ordered.sum(-1, keepdim=True)
            # By the mass before each symbol, so that the likeliest one is always kept.
            kept = ordered * (ordered.cumsum(-1) - ordered < self.top_p)
            probabilities = torch.zeros_like(probabilities).scatter(-1, places, kept)
        drawn = torch.multinomial(probabilities.cpu(), 1, generator=self.generator)
        return drawn.squeeze(-1).to(logits.device)
