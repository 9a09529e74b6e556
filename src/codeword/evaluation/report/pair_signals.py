"""Pairs that a report shows: the first of each class, with what is drawn for each of their signals."""

from dataclasses import dataclass

import torch
from torch import Tensor

from codeword.data import open_dataset
from codeword.data.base import Split
from codeword.data.pairs import PairBatch
from codeword.evaluation.measure.pairs import pair_nouns
from codeword.evaluation.report.image_signals import code_summary
from codeword.evaluation.results import Evaluation
from codeword.priors import Sampler, guided, seeded, walk
from codeword.tokenizer import Tokenizer
from codeword.training.run import Run

PAIRS_SHOWN = 10
IMAGES_DRAWN, SOUNDS_DRAWN = 10, 3

_SEARCHED = 200


@dataclass(frozen=True)
class PairMedium:
    """The signals x (N, C, *S) of one medium of the pairs, decoded from their codes, and drawn for the other medium.

    `drawn` and `guided` (N, M, C, *S) are draws at temperature 1, without and with guidance.
    """

    noun: str
    tokenizer: Tokenizer
    x: Tensor
    decoded: Tensor
    drawn: Tensor
    guided: Tensor

    @property
    def is_heard(self) -> bool:
        """True for recordings; others are seen."""
        return self.tokenizer.config.sample_rate is not None


@dataclass(frozen=True)
class ReportPairs:
    """N pairs of a split, the name of the class of each, and the weight of the guidance; draws are by `seed`."""

    split: Split
    seed: int
    guidance: float
    classes: tuple[str, ...]
    media: tuple[PairMedium, PairMedium]
    code_summary: str


@torch.no_grad()
def gather_pairs(run: Run, evaluation: Evaluation, *, samples: int, seed: int) -> ReportPairs:
    """The first pairs of the split that was evaluated, with at most `samples` draws for each signal, on the CPU.

    Raises:
        UsageError: the run is not finished.
        DataError, ModelError: data or models cannot be read.
    """
    recipe, prior = run.recipe(), run.pair_prior()
    first, second = (part.tokenizer() for part in run.parts())
    data = open_dataset(recipe.data, evaluation.split)
    labels = data.take(range(min(len(data), _SEARCHED))).label.tolist()
    chosen = [labels.index(label) for label in sorted(set(labels))[:PAIRS_SHOWN]]
    batch, guidance = data.take(chosen), recipe.evaluation.guidance
    assert isinstance(batch, PairBatch)
    tokenizers, signals = (first, second), (batch.x, batch.second)
    codes = first.encode(batch.x), second.encode(batch.second)

    def medium(n: int, noun: str) -> PairMedium:
        tokenizer, size = tokenizers[n], tuple(signals[n].shape[2:])
        each = min(samples, SOUNDS_DRAWN if tokenizer.config.sample_rate else IMAGES_DRAWN)
        conditioned = prior.given(1 - n, codes[1 - n].repeat_interleave(each, 0))
        draws = []
        for weight in (1.0, guidance):
            drawn = walk(
                guided(conditioned, prior.parts[n], weight), len(chosen) * each, Sampler(generator=seeded(seed))
            )
            draws.append(tokenizer.decode(drawn, size=size).unflatten(0, (len(chosen), each)))
        return PairMedium(noun, tokenizer, signals[n], tokenizer.decode(codes[n], size=size), *draws)

    nouns = pair_nouns(tokenizers)
    return ReportPairs(
        split=evaluation.split,
        seed=seed,
        guidance=guidance,
        classes=tuple(data.classes[int(label)] for label in batch.label),
        media=(medium(0, nouns[0]), medium(1, nouns[1])),
        code_summary="; ".join(
            f"{noun}: {code_summary(tokenizer, x)}"
            for noun, tokenizer, x in zip(nouns, tokenizers, signals, strict=True)
        ),
    )
