"""The stages of a recipe for pairs: a run of each medium, one of each judge, and the prior of both media."""

from collections.abc import Callable, Iterable
from math import log

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from codeword.config import PairPriorConfig, PriorModelConfig, Recipe, TransformerConfig
from codeword.data import Batch, Dataset, Pairs
from codeword.data.pairs import PairBatch
from codeword.priors import PairPrior
from codeword.tokenizer import Tokenizer
from codeword.training.run import Run
from codeword.training.tasks import Task, drop_labels


class PairTask(Task[PairPrior]):
    """Nats per symbol of the codes of both media, which frozen tokenizers compute, in one order or the other."""

    part = "prior"

    def __init__(self, prior: PairPrior, tokenizers: tuple[Tokenizer, Tokenizer], *, label_dropout: float) -> None:
        self.module, self.label_dropout = prior, label_dropout
        self.tokenizers = tuple(tokenizer.eval().requires_grad_(False) for tokenizer in tokenizers)

    def loss(
        self, module: nn.Module, batch: Batch, *, step: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        label = drop_labels(batch.label, self.module.classes, self.label_dropout, generator)
        start = int(torch.randint(2, (), generator=generator))
        loss = module(self.codes(batch), label, start, batch.label, generator=generator)
        return loss, {"bits_per_code": loss.detach() / log(2)}

    @torch.no_grad()
    def codes(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The codes (B, *G, K) and (B, *H, L) of a batch of pairs."""
        assert isinstance(batch, PairBatch)
        first, second = self.tokenizers
        return first.encode_unchecked(batch.x), second.encode_unchecked(batch.second)

    @torch.no_grad()
    def evaluate(self, module: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        assert isinstance(module, PairPrior)
        pairs, symbols, nats = 0, 0, torch.zeros(2, 2)
        for batch in batches:
            codes = self.codes(batch)
            pairs, symbols = pairs + len(batch.x), symbols + sum(part.numel() for part in codes)
            for start in range(2):
                found = module.log_prob(codes, start=start)
                nats[start] -= torch.stack([found.alone.sum(), found.given.sum()])
        bits = nats / log(2)
        return {
            "loss": float(nats.sum() / 2 / symbols),
            "pair_bits": float(bits[0].sum() / pairs),
            # Of the second medium, by what is known of the first, and the other way round.
            "bits_saved_of_second": float(bits[1, 0] - bits[0, 1]) / pairs,
            "bits_saved_of_first": float(bits[0, 0] - bits[1, 1]) / pairs,
        }


def train_parts(recipe: Recipe, run: Run, train: Callable[[str, Run], Run]) -> None:
    """Train what a recipe for pairs builds on, each as a run of its own, with `train`."""
    assert recipe.pairs is not None
    for name, part in zip((recipe.pairs.first, recipe.pairs.second), run.parts(), strict=True):
        train(name, part)
    for name, judge in zip(recipe.pairs.judges or (), run.judges(), strict=False):
        train(name, judge)


def build_pair_task(recipe: Recipe, run: Run, data: Dataset, fabric: Fabric) -> PairTask:
    """The task of the untrained prior of a recipe for pairs, on the tokenizers of its two runs."""
    assert isinstance(recipe.prior, TransformerConfig)
    assert isinstance(data, Pairs)
    first, second = (part.tokenizer().to(fabric.device) for part in run.parts())
    configs = [
        PriorModelConfig(
            architecture=recipe.prior,
            grid=tokenizer.grid(shape[1:]),
            codebook_sizes=tokenizer.quantizer.codebook_sizes,
            classes=len(data.classes),
        )
        for tokenizer, shape in zip((first, second), (data.first.shape, data.second.shape), strict=True)
    ]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed + 1)
        prior = PairPrior(PairPriorConfig(first=configs[0], second=configs[1]))
        for part, tokenizer in zip(prior.parts, (first, second), strict=True):
            part.start_from(tokenizer.quantizer.contributions())
    return PairTask(prior, (first, second), label_dropout=recipe.prior.label_dropout)
