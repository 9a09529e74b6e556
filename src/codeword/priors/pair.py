"""One transformer over the codes of two media, in either order."""

from math import prod
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.config import PairPriorConfig
from codeword.nn.integer_attention import Stream
from codeword.nn.integers import integers, power, softmax_weights
from codeword.priors.exact import bias_of, make_exact, weight_of
from codeword.priors.exact_transformer import ExactTransformer
from codeword.priors.transformer import Remembered, Transformer
from codeword.store import Pretrained

# Of the guess of the class next to the nats per symbol, of which it would else be about a hundredth.
_GUESS_WEIGHT = 0.2


class PairLogProb(NamedTuple):
    """Log-probabilities (B,) in nats of the codes that come first, and of the other ones given them.

    `classes` (B, classes) are the logits of the class by the codes that come first.
    """

    alone: Tensor
    given: Tensor
    classes: Tensor


class PairPrior(Pretrained):
    """p(a, b | label) of the codes of two media: p(a) p(b | a), and as well p(b) p(a | b).

    Each medium has its own embeddings, places, offsets and outputs; the layers of the transformer are one. `parts` are
    the priors of each medium alone. A pair is the sequence of one medium, a cell that ends it, and the other medium,
    which attends to all of this. The cell at the end also guesses the class, and where no label is given, the
    other medium is conditioned on the labels' embeddings in the proportions of this guess.

    Example:
        >>> import torch
        >>> from codeword.config import PairPriorConfig, PriorModelConfig, TransformerConfig
        >>> from codeword.priors import PairPrior, Sampler, walk
        >>> tiny = TransformerConfig(layers=1, width=4, heads=1, hidden=4, head_width=4)
        >>> image, sound = (PriorModelConfig(architecture=tiny, grid=g, codebook_sizes=(8,)) for g in [(3, 3), (5,)])
        >>> prior = PairPrior(PairPriorConfig(first=image, second=sound))
        >>> codes = walk(prior.parts[0], 2, Sampler())
        >>> walk(prior.given(0, codes), 2, Sampler()).shape
        torch.Size([2, 5, 1])
    """

    config_class = PairPriorConfig

    def __init__(self, config: PairPriorConfig) -> None:
        super().__init__(config)
        self.config, self.classes = config, config.first.classes
        self.first = Transformer(config.first)
        self.second = Transformer(config.second, layers=self.first.layers)
        width = self.first.width
        self.ends = nn.ParameterList(nn.init.normal_(torch.empty(width), std=0.1) for _ in range(2))
        self.guess = nn.ModuleList(nn.Linear(width, self.classes) for _ in range(2))

    @property
    def parts(self) -> tuple[Transformer, Transformer]:
        """The priors of the first and of the second medium alone."""
        return self.first, self.second

    def given(self, medium: int, codes: Tensor, label: Tensor | None = None) -> Transformer:
        """The prior of the other medium, given codes (B, *G, K) of medium number 0 or 1: for B signals."""
        return self._after(medium, self.parts[medium].remember(codes, label, self.ends[medium]))[0]

    def exact(self) -> "ExactPair":
        """The same prior in integers, for compressed files. Raises UnsupportedError."""
        return ExactPair(self)

    def log_prob(self, codes: tuple[Tensor, Tensor], label: Tensor | None = None, *, start: int = 0) -> PairLogProb:
        """Codes (B, *G, K) and (B, *H, L) of pairs and labels (B,) to log-probabilities, the medium `start` first."""
        found = self.parts[start].remember(codes[start], label, self.ends[start])
        other, logits = self._after(start, found)
        return PairLogProb(found.log_prob, other.log_prob(codes[1 - start], label), logits)

    def forward(
        self,
        codes: tuple[Tensor, Tensor],
        label: Tensor | None = None,
        start: int = 0,
        classes: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """The training loss (): nats per symbol, and those of the guess of `classes` (B,) for pairs without a label.

        Dropout draws from `generator`. The arguments are not checked.
        """
        found = self.parts[start].dropping(generator).remember(codes[start], label, self.ends[start])
        other, logits = self._after(start, found)
        given = other(codes[1 - start], label, generator=generator) * codes[1 - start].numel()
        loss: Tensor = (given - found.log_prob.sum()) / sum(prod(part.shape) for part in codes)
        if classes is None or label is None or not self.classes:
            return loss
        nats = F.cross_entropy(logits.float(), classes.clamp(max=self.classes - 1), reduction="none")
        return loss + _GUESS_WEIGHT * (nats * ((label == self.classes) & (classes < self.classes))).mean()

    def _after(self, medium: int, found: Remembered) -> tuple[Transformer, Tensor]:
        """The prior of the other medium, and the logits (B, classes) of the guess."""
        logits: Tensor = self.guess[medium](found.end)
        return self.parts[1 - medium].given(found.memory, logits.softmax(-1) if self.classes else None), logits


class ExactPair:
    """`PairPrior` in integers: the exact priors of both media, alone and given the other."""

    def __init__(self, prior: PairPrior) -> None:
        first, second = (make_exact(part) for part in prior.parts)
        assert isinstance(first, ExactTransformer)
        assert isinstance(second, ExactTransformer)
        self.parts = (first, second)
        self._ends = [integers(end.detach().float().cpu(), first.stream_bits) for end in prior.ends]
        self._guess = [(Stream(weight_of(linear)), bias_of(linear)) for linear in prior.guess]
        for medium, part in enumerate(self.parts):
            # The calibration of the guess.
            self.given(medium, part.random_codes(part.grid))

    @torch.no_grad()
    def given(self, medium: int, codes: Tensor, label: Tensor | None = None) -> ExactTransformer:
        """The prior of the other medium, as `PairPrior.given`."""
        memory, end = self.parts[medium].remember(codes, label, self._ends[medium])
        if not self.parts[medium].classes:
            return self.parts[1 - medium].given(memory)
        stream, bias = self._guess[medium]
        sums = stream.product(end)
        # As the logits of codes: the scale is a power of two.
        logits = torch.addcmul(bias, sums.float(), power(-stream.units))
        return self.parts[1 - medium].given(memory, softmax_weights(logits))
