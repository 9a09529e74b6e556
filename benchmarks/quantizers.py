"""A training step of each quantizer (forward, backward, update), ours against vector-quantize-pytorch."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from vector_quantize_pytorch import FSQ, LFQ, ResidualVQ, SimVQ, VectorQuantize

from benchmarks.report import Ratio, Report
from benchmarks.timing import device, interleaved, say
from codeword.quantizers import Quantizer, quantizer

DIM = 64
VECTORS, QUICK_VECTORS = 16384, 64
LEVELS = (8, 8, 8)


def pairs(size: int) -> dict[str, tuple[Quantizer, nn.Module]]:
    """Our quantizer and the peer's by name, with the same settings where both have them."""
    sizes = {"codebook_sizes": [size], "dim": DIM, "init": "uniform", "revive_below": 0.0}
    theirs = {"dim": DIM, "codebook_size": size}
    low = {**theirs, "codebook_dim": 8}
    learned = {"learnable_codebook": True, "ema_update": False, "rotation_trick": False}
    residual = {"codebook_sizes": [size] * 4, "dim": DIM, "lookup_dim": None, "init": "uniform", "revive_below": 0.0}
    return {
        "vector": (quantizer("vector", **sizes), VectorQuantize(**theirs, rotation_trick=False)),
        "lookup": (quantizer("vector", **sizes, lookup_dim=8), VectorQuantize(**low, rotation_trick=False)),
        "rotation": (quantizer("vector", **sizes, estimator="rotation"), VectorQuantize(**theirs, rotation_trick=True)),
        "cosine": (
            quantizer("vector", **sizes, cosine=True),
            VectorQuantize(**theirs, use_cosine_sim=True, rotation_trick=False),
        ),
        "gradient": (quantizer("vector", **sizes, update="gradient"), VectorQuantize(**theirs, **learned)),
        "linear": (quantizer("vector", **sizes, update="linear"), SimVQ(**theirs, rotation_trick=False)),
        "residual": (quantizer("residual", **residual), ResidualVQ(**theirs, num_quantizers=4, rotation_trick=False)),
        "finite_scalar": (quantizer("finite-scalar", channel_levels=list(LEVELS), dim=DIM), FSQ(list(LEVELS), dim=DIM)),
        "binary": (
            quantizer("binary", bits=size.bit_length() - 1, dim=DIM),
            LFQ(dim=DIM, codebook_size=size, spherical=True),
        ),
    }


def step(module: nn.Module, z: Tensor) -> Callable[[], Tensor]:
    """A training step on z (B, N, D): it returns the gradient at z."""
    module.to(z.device).train()
    leaf = z.clone().requires_grad_()

    def run() -> Tensor:
        module.zero_grad()
        leaf.grad = None
        result = module(leaf)
        if isinstance(module, Quantizer):
            loss = result.vectors.square().mean() + result.loss.mean()
        else:
            # FSQ has no loss, and its result two parts.
            loss = result[0].square().mean() + sum(part.sum() for part in result[2:])
        loss.backward()
        assert leaf.grad is not None
        return leaf.grad

    return run


def measure(*, quick: bool) -> Report:
    """Steps on Gaussian vectors; K = 512, four codebooks of it for residual codes."""
    size, count = (16, QUICK_VECTORS) if quick else (512, VECTORS)
    z = torch.randn(16, count // 16, DIM, generator=torch.Generator().manual_seed(0)).to(device())
    ratios: list[Ratio] = []
    figures: dict[str, float] = {}
    for name, (ours, theirs) in pairs(size).items():
        say(f"{name}, {count} vectors, K = {size}")
        runs: Mapping[str, Callable[[], Tensor]] = {"vqp": step(theirs, z), "ours": step(ours, z)}
        times = interleaved(runs, rounds=2 if quick else 7)
        peer = f"vector_quantize_pytorch.{type(theirs).__name__}"
        ratios.append(Ratio(f"quantizer_{name}_step_vs_vqp", times.ratio("vqp", "ours"), f"N={count:,}, D={DIM}", peer))
        figures |= {f"quantizer_{name}_{run}_vectors_per_s": count / times.median_s(run) for run in runs}
    return Report(ratios, figures)
