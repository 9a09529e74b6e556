"""Codes to bytes and back: the codec's batches against one signal, one symbol and one bit at a time.

The prior is that of the recipe `cifar10`, with random weights; the peer, EnCodec's published method, codes the same
codes under the same probabilities (benchmarks/naive_codec.py).
"""

import torch
from torch import Tensor

from benchmarks.naive_codec import naive_compress, naive_decompress
from benchmarks.pixelcnn import build, draw
from benchmarks.report import Ratio, Report
from benchmarks.timing import Times, interleaved
from codeword.codec.coders import PriorCoder, Reader, SymbolCoder, TableCoder, Writer
from codeword.pretrained import load_pretrained
from codeword.priors import ExactPrior, PixelCNN, make_exact, walk

BATCH = 64


def measure(*, quick: bool) -> Report:
    """Symbols per second of `BATCH` signals at a time; the peer codes fewer signals, because it codes each alone."""
    prior = build(layers=2, width=8, grid=(3, 3), codewords=16) if quick else build(layers=12)
    few = 1 if quick else 4
    # On the CPU even if training runs on a GPU: the decompressing machine must compute the same numbers.
    prior = prior.cpu()
    codes = walk(prior, BATCH, draw())
    exact = make_exact(prior)
    assert isinstance(exact, ExactPrior)
    ours, tables = PriorCoder(exact, label=None), TableCoder.uniform(prior.codebook_sizes)
    times = run(prior, codes, few, {"prior": ours, "tables": tables}, rounds=2 if quick else 5)
    naive, all_symbols = few * prior.symbols, BATCH * prior.symbols
    per_s = {
        f"{verb}_{name}": symbols / times.median_s(f"{verb}_{name}")
        for name, symbols in (("prior", all_symbols), ("tables", all_symbols), ("naive", naive))
        for verb in ("compress", "decompress")
    }
    peer = "one signal, symbol and bit at a time, as EnCodec publishes it (benchmarks/naive_codec.py)"
    shape = " x ".join(str(n) for n in prior.grid)
    return Report(
        [
            Ratio(
                f"codec_{verb}_vs_naive",
                per_s[f"{verb}_prior"] / per_s[f"{verb}_naive"],
                f"codeword.codec, {BATCH} blocks of {shape} codes out of {prior.codebook_sizes[0]}",
                peer,
            )
            for verb in ("compress", "decompress")
        ],
        {f"codec_{name}_symbols_per_s": value for name, value in per_s.items()}
        | {"codec_exact_overhead_percent": exact_overhead_percent(BATCH)},
    )


@torch.no_grad()
def exact_overhead_percent(count: int) -> float:
    """The additional bits of `count` signals drawn from the prior in the package when it is made exact."""
    trained = load_pretrained("images").prior
    codes = walk(trained, count, draw())
    exact, floats = (float(prior.log_prob(codes).double().sum()) for prior in (make_exact(trained), trained))
    return 100 * (exact / floats - 1)


def run(prior: PixelCNN, codes: Tensor, few: int, coders: dict[str, SymbolCoder], *, rounds: int) -> Times:
    """Times of each coder in both directions; the decompressed codes are checked."""
    naive = naive_compress(prior, codes[:few])
    must_be(naive_decompress(prior, naive), codes[:few])
    runs = {
        "compress_naive": lambda: naive_compress(prior, codes[:few]),
        "decompress_naive": lambda: naive_decompress(prior, naive),
    }
    for name, coder in coders.items():
        content = written(coder, codes)
        must_be(read(coder, content, codes), codes)
        runs[f"compress_{name}"] = lambda coder=coder: written(coder, codes)  # type: ignore[misc]
        runs[f"decompress_{name}"] = lambda coder=coder, content=content: read(coder, content, codes)  # type: ignore[misc]
    return interleaved(runs, rounds=rounds)


def written(coder: SymbolCoder, codes: Tensor) -> bytes:
    """All signals as one segment."""
    writer = Writer()
    coder.write([(slice(0, len(codes)), writer)], codes, everywhere(codes))
    return writer.content()


def read(coder: SymbolCoder, content: bytes, like: Tensor) -> Tensor:
    return coder.read([(slice(0, len(like)), Reader(content))], everywhere(like))


def everywhere(codes: Tensor) -> Tensor:
    return torch.ones(codes.shape[:-1], dtype=torch.bool)


def must_be(codes: Tensor, expected: Tensor) -> None:
    """Assert that a coder returns the right codes before its speed is measured."""
    assert torch.equal(codes, expected)
