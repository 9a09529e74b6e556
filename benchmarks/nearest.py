"""Nearest-codeword search, ours against vector-quantize-pytorch, `torch.cdist` and one-hot matrices."""

from collections.abc import Callable

import torch
from torch import Tensor
from vector_quantize_pytorch import VectorQuantize

from benchmarks.memory import growth_in_a_new_process
from benchmarks.naive import naive_nearest, naive_quantize
from benchmarks.report import Ratio, Report
from benchmarks.timing import device, interleaved, say
from codeword.config import VectorQuantizerConfig
from codeword.quantizers import VectorQuantizer, nearest
from codeword.quantizers.search import TILES

DIM = 64
# K codewords to N vectors. At the larger K the peer holds four N x K matrices, so N is limited to 2 GB.
SIZES = {512: 65536, 8192: 16384}
QUICK = {16: 64, 32: 64}


def measure(*, quick: bool) -> Report:
    """Searches in a small and a large codebook, on Gaussian data: the time does not depend on the data."""
    reports = [_at(vectors, codewords, quick) for codewords, vectors in (QUICK if quick else SIZES).items()]
    figures = {name: value for report in reports for name, value in report.figures.items()}
    return Report([ratio for report in reports for ratio in report.ratios], figures)


def data(vectors: int, codewords: int) -> tuple[Tensor, Tensor]:
    """Vectors (N, D) and a codebook (K, D), the same every time."""
    generator = torch.Generator().manual_seed(0)
    z, codebook = (torch.randn(n, DIM, generator=generator).to(device()) for n in (vectors, codewords))
    return z, codebook


def peer(codebook: Tensor) -> VectorQuantize:
    """vector-quantize-pytorch with our codebook (K, D), in eval mode."""
    vq = VectorQuantize(dim=codebook.shape[1], codebook_size=len(codebook)).to(codebook.device).eval()
    vq.codebook = codebook
    return vq


def product(z: Tensor, codebook: Tensor) -> Callable[[], None]:
    """The products of z (N, D) and codebook (K, D) alone, in the tiles of `nearest`: the limit of its speed."""
    rows, columns = TILES[z.device.type]
    tiles, blocks = z.split(rows), codebook.t().contiguous().split(columns, 1)

    def run() -> None:
        for tile in tiles:
            for block in blocks:
                torch.mm(tile, block)

    return run


def equally_near(z: Tensor, codebook: Tensor, codes: Tensor, others: Tensor) -> bool:
    """True if codes (N,) and others (N,) differ only where two codewords are equally near up to rounding."""
    differ = codes != others
    distance, other = ((z[differ] - codebook[c[differ]]).double().square().sum(1) for c in (codes, others))
    return bool(((distance - other).abs() <= 1e-4 * other).all())


@torch.no_grad()
def _at(vectors: int, codewords: int, quick: bool) -> Report:
    name = f"nearest_k{codewords}"
    say(f"{vectors} vectors, {codewords} codewords")
    z, codebook = data(vectors, codewords)
    vq = peer(codebook)
    quantizer = VectorQuantizer(VectorQuantizerConfig(codebook_sizes=(codewords,), dim=DIM, init="uniform")).eval()
    quantizer.codewords()[0].copy_(codebook)
    quantizer.to(z.device)
    codes = nearest(z, codebook)
    assert equally_near(z, codebook, codes, vq(z)[1]), "vqp finds other codewords"
    assert equally_near(z, codebook, codes, naive_nearest(z, codebook)), "cdist finds other codewords"

    runs = {
        "vqp": lambda: vq(z),
        "ours": lambda: nearest(z, codebook),
        "cdist": lambda: naive_nearest(z, codebook),
        "one_hot": lambda: naive_quantize(z, codebook),
        "gemm": product(z, codebook),
        # The peer's forward also looks up the codewords; this is our equivalent call.
        "quantizer": lambda: quantizer(z),
    }
    times = interleaved(runs, rounds=2 if quick else 7)
    figures = {f"{name}_{run}_vectors_per_s": vectors / times.median_s(run) for run in runs}
    figures[f"{name}_vqp_over_quantizer_forward_time_ratio"] = times.ratio("vqp", "quantizer")
    growth_bytes = growth_in_a_new_process(vectors, codewords)
    if growth_bytes is not None:
        figures[f"{name}_peak_memory_growth_mib"] = growth_bytes / 2**20
    figures[f"{name}_distance_matrix_mib"] = vectors * codewords * 4 / 2**20
    ours = f"codeword.quantizers.nearest, N={vectors:,}, D={DIM}"
    ratios = [
        Ratio(
            f"{name}_vs_vqp",
            times.ratio("vqp", "ours"),
            ours,
            "vector_quantize_pytorch.VectorQuantize, its forward in eval mode",
        ),
        Ratio(f"{name}_fraction_of_gemm", times.ratio("gemm", "ours"), ours, "torch.mm of the same tiles, no minimum"),
    ]
    return Report(ratios, figures)
