"""One training step of the course report's CIFAR-10 tokenizer, ours against the usual public code.

The course report is Kalal, Karuturi and Budireddy 2024, "VQVAE - Images & Audio". `NaiveSizes` fixes the model, and the
recipe `cifar10` gives the training: changes of that recipe's model do not change this figure.
"""

from collections.abc import Callable

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gemm import NAMES, gflops_per_s, product, side, training_dtype
from benchmarks.naive import NaiveSizes, NaiveTokenizer, naive_step
from benchmarks.report import Ratio, Report
from benchmarks.timing import device, interleaved
from codeword.config import (
    ConvTrunkConfig,
    GaussianConfig,
    SyntheticImagesConfig,
    TokenizerConfig,
    TrainingConfig,
    VectorQuantizerConfig,
    load_recipe,
)
from codeword.data import Batch
from codeword.data.synthetic.images import SyntheticImages
from codeword.tokenizer import Tokenizer
from codeword.training.loop import Trainer
from codeword.training.run import Run
from codeword.training.stages import resolve_precision
from codeword.training.tasks import TokenizerTask

QUICK = NaiveSizes(width=16, residual_width=8, codewords=16)


def measure(*, quick: bool) -> Report:
    """Times of both steps on the same images, already in memory; neither includes reading data."""
    sizes = QUICK if quick else NaiveSizes()
    # Without averaged weights, which the peer does not compute either.
    training = load_recipe("cifar10", overrides=["tokenizer_training.ema_decay=0"]).tokenizer_training
    size, number = (16, 4) if quick else (32, 256)
    images = SyntheticImages(SyntheticImagesConfig(size=size, train=number, valid=1, test=1), "train")
    batch = images.take(range(number))
    dtype, n = training_dtype(training.precision), side(quick=quick)
    step = our_step(our_config(sizes), training, batch)
    runs = {
        "naive": peer_step(sizes, batch.x),
        "ours": step,
        # In the same rounds, so that step and peak are measured at the same speed of the machine.
        "gemm": product(n, dtype),
    }
    times = interleaved(runs, rounds=2 if quick else 9, warmup=1 if quick else 3)
    flop = flop_of(step)
    peak_gflops_per_s = gflops_per_s(n, times.fastest_s("gemm"))
    achieved_gflops_per_s = flop / times.median_s("ours") / 1e9
    name = NAMES[dtype]
    ours = f"codeword's training step, {name}, batch {number}"
    return Report(
        [
            Ratio(
                "train_step_vs_naive",
                times.ratio("naive", "ours"),
                ours,
                "the code of zalandoresearch/pytorch-vq-vae (benchmarks/naive.py), fp32",
            ),
            Ratio(
                "fraction_of_gemm_peak",
                achieved_gflops_per_s / peak_gflops_per_s,
                f"{ours}: {achieved_gflops_per_s:.4g} GFLOP/s",
                f"torch's {name} product of {n} x {n} matrices: {peak_gflops_per_s:.4g} GFLOP/s",
            ),
        ],
        {
            "train_step_images_per_s": number / times.median_s("ours"),
            "train_step_naive_images_per_s": number / times.median_s("naive"),
            "train_step_mflop_per_image": flop / number / 1e6,
            "train_step_achieved_gflops_per_s": achieved_gflops_per_s,
            f"train_step_gemm_{name}_gflops_per_s": peak_gflops_per_s,
        },
    )


def our_step(tokenizer: TokenizerConfig, training: TrainingConfig, batch: Batch) -> Callable[[], float]:
    """One step of the loop of `fit`, on one batch; each call returns the loss."""
    fabric = Fabric(accelerator=device().type, devices=1, precision=resolve_precision(training.precision))
    fabric.launch()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        task = TokenizerTask(Tokenizer(tokenizer))
    # The run folder stays empty: the trainer only takes steps, without logs or checkpoints.
    trainer = Trainer(task, training, run=Run("nowhere"), fabric=fabric, seed=0)
    return lambda: float(trainer.step(batch.to(fabric.device))["loss"])


def peer_step(sizes: NaiveSizes, signals: Tensor, *, values: int = 256) -> Callable[[], tuple[float, float]]:
    """One step of the usual code, on signals (B, C, *S) that are centred floats before the clock starts."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = NaiveTokenizer(sizes).to(device()).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, amsgrad=False)
    x = (signals.float() / (values - 1) - 0.5).to(device())
    variance = float(x.var())
    return lambda: naive_step(model, optimizer, x, variance)


def our_config(sizes: NaiveSizes, *, values: int = 256) -> TokenizerConfig:
    """The peer's model as our config, so that both train the same model; all other fields have their defaults."""
    return TokenizerConfig(
        ndim=1 if sizes.ndim == 1 else 2,
        values=values,
        channels=sizes.channels,
        trunk=ConvTrunkConfig(
            width=sizes.width,
            residual_width=sizes.residual_width,
            residual_blocks=sizes.residual_blocks,
            strides=(2, 2),
        ),
        quantizer=VectorQuantizerConfig(
            codebook_sizes=(sizes.codewords,), dim=sizes.dim, beta=sizes.beta, decay=sizes.decay
        ),
        likelihood=GaussianConfig(),
    )


def flop_of(step: Callable[[], object]) -> int:
    """Floating-point operations of the products and convolutions of one step, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())
