"""WaveNet as a decoder: each sample given the samples before and the codes (van den Oord et al. 2017, sec. 4.3)."""

from collections.abc import Callable, Iterator
from math import inf, pi

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.config import WaveNetDecoderConfig
from codeword.likelihoods.base import Likelihood, gumbel
from codeword.nn.dilated import DilatedStack, DilatedWalk, delay
from codeword.nn.walk import Choose

BLOCK_SAMPLES = 256
SEED_OF_MEAN = 0


class WaveNetDecoder(Likelihood):
    """p(x | features) = product over t of p(x[t] | x[<t], features), a softmax over all values of each sample.

    For x (B, 1, T) of few values: mu-law companded audio has 256 (van den Oord et al. 2016, sec. 2.2). The network
    sees the samples before, embedded, and the features as local conditioning (sec. 2.5 there). The features of a
    sample may come from codes that lie after it: only x is causal.
    """

    reach = inf
    one_pass = False
    sequential = True

    def __init__(self, config: WaveNetDecoderConfig, *, channels: int, values: int) -> None:
        assert channels == 1
        super().__init__(channels, values)
        self.features = config.features
        self.embed = nn.Embedding.from_pretrained(cosines(values, config.width), freeze=False)
        self.stack = DilatedStack(
            config.dilations, width=config.width, skip_width=config.skip_width, local=config.features
        )
        self.head = nn.Linear(config.skip_width, config.skip_width)
        self.output = nn.Linear(config.skip_width, values)

    def log_prob(self, features: Tensor, x: Tensor) -> Tensor:
        nll = F.cross_entropy(self.logits(features, x).flatten(0, 1), x.flatten().long(), reduction="none")
        return -nll.view(len(x), -1).sum(1)

    def logits(self, features: Tensor, x: Tensor) -> Tensor:
        """Logits (B, T, values) of each sample, given x (B, 1, T) before it and features (B, F, T)."""
        before = delay(self.embed(x[:, 0].long()), 1)
        return self._logits(self.stack(before, local=features.transpose(1, 2)))

    def mean(self, features: Tensor) -> Tensor:
        """A draw with a fixed seed, because the mean has no closed form and would be near silence."""
        return self.sample(features, generator=torch.Generator().manual_seed(SEED_OF_MEAN)).float()

    def sample(
        self,
        features: Tensor,
        *,
        generator: torch.Generator | None = None,
        progress: Callable[[int], None] = lambda done: None,
    ) -> Tensor:
        """One draw (B, 1, T), sample by sample; `progress` gets the number of finished samples."""
        noise = self._gumbel(features, generator)
        return self._walk(features, lambda logits, _: (logits + next(noise)).argmax(-1), progress=progress)

    def walk(self, features: Tensor, choose: Choose) -> Tensor:
        return self._walk(features, lambda logits, t: choose(logits.softmax(-1)[:, None], t)[:, 0])

    @torch.no_grad()
    def _walk(self, features: Tensor, choose: Choose, *, progress: Callable[[int], None] = lambda done: None) -> Tensor:
        """As `walk`, where `choose` is offered logits (B, values)."""
        batch, _, samples = features.shape
        walk = DilatedWalk(self.stack, batch)
        x = torch.empty(batch, samples, dtype=torch.int64, device=features.device)
        embedded = torch.zeros(batch, self.stack.width, device=features.device)
        # In blocks: the drives cost less for many samples at once, but those of the whole signal would fill the memory.
        for start in range(0, samples, BLOCK_SAMPLES):
            local = features[:, :, start : start + BLOCK_SAMPLES].transpose(1, 2)
            for t, drives in enumerate(walk.drives(local), start=start):
                taken = choose(self._logits(walk.step(embedded, drives)), t)
                x[:, t] = taken
                embedded = self.embed(taken)
                progress(t + 1)
        return x.unsqueeze(1)

    def step(self, i: int, size: tuple[int, ...]) -> tuple[int, slice]:
        return 0, slice(i, i + 1)

    def _gumbel(self, features: Tensor, generator: torch.Generator | None) -> Iterator[Tensor]:
        """`gumbel` noise (B, values) for each sample, drawn in blocks."""
        batch, _, samples = features.shape
        for start in range(0, samples, BLOCK_SAMPLES):
            shape = torch.Size([min(BLOCK_SAMPLES, samples - start), batch, self.values])
            yield from gumbel(shape, features, generator)

    def _logits(self, skips: Tensor) -> Tensor:
        logits: Tensor = self.output(F.relu(self.head(F.relu(skips))))
        return logits.float()


def cosines(values: int, width: int) -> Tensor:
    """An initial embedding (values, width): cosines over the range of values, with amplitudes that fall with the rate.

    Neighbouring values have similar vectors, so that training generalises over values from the start.
    """
    place = (torch.arange(values) + 0.5) / values
    rate = torch.arange(1, width + 1)
    return torch.cos(pi * place[:, None] * rate) / (1 + rate / 8)
