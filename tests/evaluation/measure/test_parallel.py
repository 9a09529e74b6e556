"""Recordings measured in threads: one order, one thread for each calculation, each recording read and encoded once."""

import threading
from collections import Counter

import pytest
import torch
from tiny.recipes import PRIOR, SPEECH, SPLITS, TOKENIZER
from torch import Tensor

from codeword.config import EvaluationConfig, PriorModelConfig, SyntheticSpeechConfig, TokenizerConfig, WaveNetConfig
from codeword.data.synthetic.speech import SyntheticSpeech
from codeword.errors import DataError
from codeword.evaluation.measure import parallel
from codeword.evaluation.measure.parallel import threads
from codeword.evaluation.measure.speech import measure_recordings
from codeword.evaluation.results import Measures
from codeword.priors import build_prior
from codeword.tokenizer import Tokenizer


class CountingSpeech(SyntheticSpeech):
    """Counts how often each recording is read."""

    def __init__(self, split: str) -> None:
        super().__init__(SyntheticSpeechConfig(**(SPEECH | SPLITS)), split)  # type: ignore[arg-type]
        self.reads: Counter[int] = Counter()

    def read(self, i: int) -> Tensor:
        self.reads[i] += 1
        return super().read(i)


class CountingTokenizer(Tokenizer):
    """Counts how often signals are encoded, and codes are decoded."""

    encoded = 0
    decoded = 0

    def _vectors(self, x: Tensor) -> Tensor:
        self.encoded += 1
        return super()._vectors(x)

    def decode(self, codes: Tensor, label: Tensor | None = None, *, size: tuple[int, ...] | None = None) -> Tensor:
        self.decoded += 1
        return super().decode(codes, label, size=size)


def measured(data: CountingSpeech, train: CountingSpeech, tokenizer: Tokenizer, **changes: object) -> Measures:
    fitted = PriorModelConfig(
        architecture=WaveNetConfig(**{k: v for k, v in PRIOR.items() if k != "kind"}),
        grid=(10,),
        codebook_sizes=tokenizer.quantizer.codebook_sizes,
    )
    config = EvaluationConfig.model_validate(changes)
    torch.manual_seed(0)
    prior = build_prior(fitted).eval()
    return measure_recordings(tokenizer, prior, data, train, config, progress=lambda done, total: None)


def tiny_tokenizer(**changes: object) -> CountingTokenizer:
    torch.manual_seed(0)
    return CountingTokenizer(TokenizerConfig.model_validate(TOKENIZER | changes)).eval()


def test_each_recording_is_read_and_encoded_once_and_decoded_once_at_each_rate_and_voice() -> None:
    data, train = CountingSpeech("test"), CountingSpeech("train")
    tokenizer = tiny_tokenizer(classes=data.classes)
    found = measured(data, train, tokenizer, baselines=False)
    assert data.reads == dict.fromkeys(range(5), 1)
    assert train.reads == dict.fromkeys(range(8), 1)
    assert tokenizer.encoded == 5 + 8
    converted = "conversion_success" in found.metrics
    known = sum(data.label(i) < len(data.classes) for i in range(5))
    assert tokenizer.decoded == 2 * 5 + converted * 2 * known * (len(data.classes) - 1)


def test_the_number_of_threads_changes_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    data, train = CountingSpeech("test"), CountingSpeech("train")
    found = []
    for count in (1, 3):
        monkeypatch.setattr(parallel, "THREADS", count)
        found.append(measured(data, train, tiny_tokenizer(conditional=False), limit=2))
    assert found[0] == found[1]


def test_results_come_in_order_and_progress_counts_them() -> None:
    seen: list[tuple[int, int]] = []
    with threads() as pool:
        squares = pool.map(lambda i: i * i, 20, progress=lambda done, total: seen.append((done, total)))
    assert squares == [i * i for i in range(20)]
    assert seen == [(i, 20) for i in range(1, 21)]


def test_every_calculation_has_one_thread_and_no_gradients_and_the_caller_has_its_own_again() -> None:
    before = torch.get_num_threads()
    weight = torch.ones(3, requires_grad=True)
    with threads(2) as pool:
        states = pool.map(lambda i: (torch.get_num_threads(), (weight * i).requires_grad), 4)
    assert states == [(1, False)] * 4
    assert torch.get_num_threads() == before
    assert (weight * 2).requires_grad


def test_an_error_of_one_recording_ends_all() -> None:
    done, never = list[int](), threading.Event()

    def fail(i: int) -> None:
        done.append(i)
        if i == 0:
            raise DataError("recording 0 is broken")
        never.wait(0.1)  # Without it, this thread may take all items before the other one hears of the error.

    with pytest.raises(DataError, match="recording 0"), threads(1) as pool:
        pool.map(fail, 1000)
    assert len(done) < 1000
