"""Speech: a training step of the course report's model against its notebook's code, and a codec's real-time factor.

The course report is Kalal, Karuturi and Budireddy 2024, "VQVAE - Images & Audio". `NaiveSizes` fixes the model of the
step; the codec is the model in the package, or another one.
"""

import time

import torch

from benchmarks.naive import NaiveSizes
from benchmarks.report import Ratio, Report
from benchmarks.timing import Times, interleaved
from benchmarks.train import our_config, our_step, peer_step
from codeword.coding import decode_signal, deterministic, encode_signal
from codeword.config import SyntheticSpeechConfig, load_recipe
from codeword.data.synthetic.speech import SyntheticSpeech
from codeword.pretrained import load
from codeword.tokenizer import Tokenizer

VALUES = 65536
QUICK = NaiveSizes(ndim=1, channels=1, width=16, residual_width=8, codewords=16)


def measure(*, quick: bool, model: str = "speech") -> Report:
    """Times of both steps on the same crops of one second, already in memory, and of a codec on one recording.

    `model` is the name of a model in the package, a run or a model folder.
    """
    sizes = QUICK if quick else NaiveSizes(ndim=1, channels=1)
    number, crop_samples, seconds = (2, 800, 0.5) if quick else (16, 16_000, 10.0)
    training = load_recipe("librispeech-report").tokenizer_training
    data = SyntheticSpeech(SyntheticSpeechConfig(crop_samples=crop_samples, train=number, valid=1, test=1), "train")
    batch = data.take(range(number))
    step = our_step(our_config(sizes, values=VALUES), training, batch)
    runs = {"naive": peer_step(sizes, batch.x, values=VALUES), "ours": step}
    times = interleaved(runs, rounds=2 if quick else 5)
    coding = codec_times(load(model).tokenizer, seconds=seconds, rounds=2 if quick else 7)
    return Report(
        # The codec's speeds have no peer: they are multiples of real time, for one recording.
        [
            Ratio(
                "speech_train_step_vs_report",
                times.ratio("naive", "ours"),
                f"codeword's training step, batch {number} of {crop_samples} samples",
                "the course report's notebook code at rank 1 (benchmarks/naive.py), fp32",
            )
        ],
        {
            "speech_train_step_s": times.median_s("ours"),
            "speech_train_step_naive_s": times.median_s("naive"),
            "speech_encode_xrt": seconds / coding.median_s("encode"),
            "speech_decode_xrt": seconds / coding.median_s("decode"),
        },
    )


def codec_times(tokenizer: Tokenizer, *, seconds: float, rounds: int) -> Times:
    """Times of coding one recording of `seconds` on one thread, without the time of other programs."""
    config = tokenizer.config
    assert config.sample_rate is not None
    samples = int(seconds * config.sample_rate)
    noise = torch.randn(1, samples, generator=torch.Generator().manual_seed(0))
    x = ((0.5 + 0.05 * noise).clamp(0, 1) * (config.values - 1)).round().long()
    with deterministic():
        codes = encode_signal(tokenizer, x)
        ways = {
            "encode": lambda: encode_signal(tokenizer, x),
            "decode": lambda: list(decode_signal(tokenizer, codes, size=(samples,))),
        }
        return interleaved(ways, rounds=rounds, clock=time.thread_time)
