"""Measures of a prior of pairs: the bits that one medium saves of the other, and how often both show one class."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from math import log

import torch
from torch import Tensor

from codeword.config import EvaluationConfig
from codeword.data import Dataset, evaluation_batches
from codeword.data.pairs import PairBatch
from codeword.evaluation.measure.intervals import mean_metric, ratio_metric, share_metric
from codeword.evaluation.medium import medium_name
from codeword.evaluation.results import Measures, Metric
from codeword.nn.classifier import Classifier
from codeword.priors import PairPrior, Sampler, guided, seeded, walk
from codeword.tokenizer import Tokenizer
from codeword.training.run import Run

_NOUNS = {"images": "image", "audio": "sound"}
_PAIR_BITS, _OWN, _GIVEN = "bits per pair", "% read as their class", "% read as the class of the given one"


@torch.no_grad()
def measure_pairs(
    run: Run, data: Dataset, config: EvaluationConfig, *, progress: Callable[[int, int], None]
) -> Measures:
    """Measure the pairs of a split.

    `pair_bits` are those of the first medium and of the second given the first, `pair_bits_separate` those of both
    under the priors of their own runs, and `pair_bits_saved` the difference; `_shuffled` is of partners of any class.
    `bits_saved_of_MEDIUM` is the difference that the other medium makes to the same prior, and
    `bits_MEDIUM_over_separate` compares a medium alone with the prior of its own run. The judges read the signals
    (`accuracy_MEDIUM`), their reconstructions (`accuracy_reconstruction_MEDIUM`), which show what the codes lose, and
    what is drawn for a signal of the other medium at temperature 1: `coherence_MEDIUM_given_MEDIUM`, and with `_guided`
    under `config.guidance`.
    """
    runs, prior = run.parts(), run.pair_prior()
    tokenizers, own = [part.tokenizer() for part in runs], [part.prior() for part in runs]
    nouns = pair_nouns(tokenizers)
    judged = all(judge.holds(judge.perception_path) for judge in run.judges())
    judges = [Classifier.from_pretrained(judge.perception_path) for judge in run.judges()] if judged else []
    bits, right = defaultdict[str, list[Tensor]](list), defaultdict[str, list[Tensor]](list)
    draws = [(end, weight, Sampler(generator=seeded(0))) for end, weight in (("", 1.0), ("_guided", config.guidance))]
    total = min(len(data), config.limit or len(data))
    for batch in evaluation_batches(data, config.batch_size, limit=config.limit):
        assert isinstance(batch, PairBatch)
        signals = (batch.x, batch.second)
        codes = tokenizers[0].encode(batch.x), tokenizers[1].encode(batch.second)
        for name, nats in _log_probs(prior, codes).items():
            bits[name].append(-nats / log(2))
        for n in range(2):
            bits[f"separate_{n}"].append(-own[n].log_prob(codes[n]) / log(2))
        bits["separate_of_shuffled_1"].append(_shuffled(bits["separate_1"][-1]))
        for n, judge in enumerate(judges):
            size, noun, other = tuple(signals[n].shape[2:]), nouns[n], nouns[1 - n]
            shown = {f"accuracy_{noun}": signals[n]}
            shown[f"accuracy_reconstruction_{noun}"] = tokenizers[n].decode(codes[n], size=size)
            conditioned = prior.given(1 - n, codes[1 - n])
            for end, weight, draw in draws:
                drawn = walk(guided(conditioned, prior.parts[n], weight), len(batch.x), draw)
                shown[f"coherence_{noun}_given_{other}{end}"] = tokenizers[n].decode(drawn, size=size)
            for name, x in shown.items():
                right[name].append(judge(x).argmax(1) == batch.label)
        progress(sum(map(len, bits["alone_0"])), total)
    columns = {name: torch.cat(found).double() for name, found in bits.items()}
    metrics = _pair_metrics(columns, nouns)
    for name, found in right.items():
        metrics[name] = share_metric(torch.cat(found), _GIVEN if "given" in name else _OWN)
    left_out = {} if judges else {"coherence": "the recipe names no judges (data.judges)"}
    return Measures(signals=len(columns["alone_0"]), metrics=metrics, left_out=left_out)


def pair_nouns(tokenizers: Sequence[Tokenizer]) -> list[str]:
    """A word for a signal of each medium, which names the metrics."""
    return [_NOUNS.get(medium_name(tokenizer.config), name) for tokenizer, name in zip(tokenizers, "ab", strict=True)]


def _log_probs(prior: PairPrior, codes: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """Log-probabilities (B,) of both media alone, and given the other; `shuffled` given that of another pair."""
    first, second = (prior.log_prob(codes, start=start) for start in range(2))
    other = prior.log_prob((codes[0], _shuffled(codes[1])), start=0)
    names = ("alone_0", "given_1", "alone_1", "given_0", "shuffled_1")
    return dict(zip(names, (first.alone, first.given, second.alone, second.given, other.given), strict=True))


def _pair_metrics(bits: dict[str, Tensor], nouns: list[str]) -> dict[str, Metric]:
    """Metrics from the bits (N,) of each pair."""
    pair, separate = bits["alone_0"] + bits["given_1"], bits["separate_0"] + bits["separate_1"]
    metrics = {
        "pair_bits": mean_metric(pair, _PAIR_BITS),
        f"pair_bits_{nouns[1]}_first": mean_metric(bits["alone_1"] + bits["given_0"], _PAIR_BITS),
        "pair_bits_separate": mean_metric(separate, _PAIR_BITS),
        "pair_bits_saved": mean_metric(separate - pair, _PAIR_BITS),
        f"pair_bits_saved_{nouns[1]}_first": mean_metric(separate - bits["alone_1"] - bits["given_0"], _PAIR_BITS),
        "pair_bits_saved_shuffled": mean_metric(
            bits["separate_0"] + bits["separate_of_shuffled_1"] - bits["alone_0"] - bits["shuffled_1"], _PAIR_BITS
        ),
    }
    for n, noun in enumerate(nouns):
        metrics[f"bits_saved_of_{noun}"] = mean_metric(bits[f"alone_{n}"] - bits[f"given_{n}"], _PAIR_BITS)
        over = 100 * (bits[f"alone_{n}"] - bits[f"separate_{n}"])
        metrics[f"bits_{noun}_over_separate"] = ratio_metric(over.tolist(), bits[f"separate_{n}"].tolist(), "%")
    return metrics


def _shuffled(rows: Tensor) -> Tensor:
    """Rows (B, ...) in an order in which each is at another place."""
    # Not by half of them: drawn data sets repeat their classes in order, and such a shift could keep the class.
    return rows.roll(max(1, len(rows) // 2 - 1), 0)
