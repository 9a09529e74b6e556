"""Laws of codebooks of changing size: they meet their target, keep what they stand for, and settle to what is used."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny.recipes import tiny
from torch import Tensor

from codeword.data import evaluation_batches, open_dataset
from codeword.errors import RecipeError
from codeword.evaluation import evaluate
from codeword.evaluation.report.sections import report_contents
from codeword.export_onnx import export_onnx
from codeword.quantizers import CodeUsage, Quantizer, quantizer
from codeword.quantizers.dynamic import DynamicCodebook
from codeword.quantizers.usage import entropy_bits
from codeword.training import Run, train
from codeword.training.tasks import COLLAPSED, TokenizerTask

SIZE = 'tokenizer.quantizer.size={kind="dynamic", start=4, rate_bits=2.5, every=2}'


def vectors(*shape: int, seed: int) -> Tensor:
    """Vectors (*shape, 4) of two clouds of different extent, so that cells of equal error are not equally frequent."""
    generator = torch.Generator().manual_seed(seed)
    wide = torch.rand(*shape, 1, generator=generator) < 0.5
    return torch.randn(*shape, 4, generator=generator) * torch.where(wide, 1.0, 0.2) + torch.where(wide, 3.0, 0.0)


def grown(most: int, *, steps: int = 150, **size: Any) -> Quantizer:
    """A vector quantizer with a codebook of a changing size, trained and in evaluation mode."""
    vq = quantizer("vector", codebook_sizes=[most], dim=4, decay=0.9, size={"kind": "dynamic", "every": 4, **size})
    for seed in range(steps):
        vq(vectors(512, seed=seed), generator=torch.Generator().manual_seed(seed))
    return vq.eval()


def found(vq: Quantizer) -> tuple[float, float, int]:
    """Bits a code, error as a share of the variance, and the number of used codewords, on other vectors."""
    z = vectors(8192, seed=999)
    result = vq(z)
    counts = torch.bincount(result.codes.flatten())
    return (
        entropy_bits(counts),
        float((z - result.vectors).square().sum(1).mean() / z.var(0).sum()),
        len(counts[counts > 0]),
    )


@pytest.mark.parametrize("start", [4, 128])
def test_a_codebook_meets_its_rate_from_below_and_from_above(start: int) -> None:
    assert found(grown(128, start=start, rate_bits=5.0))[0] == pytest.approx(5.0, abs=0.15)


@pytest.mark.parametrize("start", [4, 256])
def test_a_codebook_meets_its_error_from_below_and_from_above(start: int) -> None:
    assert found(grown(256, start=start, error_share=0.05))[1] == pytest.approx(0.05, rel=0.1)


def test_a_price_asks_for_the_same_size_from_below_and_from_above_and_a_higher_one_for_a_smaller_size() -> None:
    bits = {
        (start, price): found(grown(256, start=start, price=price))[0] for start in (4, 256) for price in (0.01, 0.04)
    }
    for price in (0.01, 0.04):
        assert bits[4, price] == pytest.approx(bits[256, price], abs=0.4)
    assert bits[4, 0.04] < bits[4, 0.01] - 0.5


def test_a_codebook_at_its_rate_has_less_error_than_k_means_of_as_many_bits() -> None:
    """Codewords go where they save error, so that no luck of the first batch decides."""
    fixed = quantizer("vector", codebook_sizes=[32], dim=4, decay=0.9)
    for seed in range(150):
        fixed(vectors(512, seed=seed), generator=torch.Generator().manual_seed(seed))
    bits, error, _ = found(fixed.eval())
    dynamic_bits, dynamic_error, _ = found(grown(128, start=4, rate_bits=bits))
    assert dynamic_bits < bits + 0.1
    assert dynamic_error < 1.05 * error


@pytest.mark.parametrize("target", [{"price": 0.03}, {"error_share": 0.03}])
def test_the_data_decides_on_the_size(target: dict[str, float]) -> None:
    """Vectors near eight points get about eight codewords, a continuous cloud several times as many."""
    points = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))

    def size(of_points: bool) -> int:
        vq = quantizer(
            "vector", codebook_sizes=[256], dim=4, decay=0.9, size={"kind": "dynamic", "start": 4, "every": 4, **target}
        )
        for seed in range(150):
            generator = torch.Generator().manual_seed(seed)
            noise = torch.randn(512, 4, generator=generator)
            near = points[torch.randint(8, (512,), generator=generator)] + 0.01 * noise
            vq(near if of_points else noise, generator=generator)
        return int(vq.figures()["codewords"])

    assert 6 <= size(True) <= 12
    assert size(False) > 30


@given(st.integers(0, 1000), st.integers(2, 24), st.floats(0.5, 3.5))
def test_changes_keep_counts_and_means(seed: int, start: int, rate_bits: float) -> None:
    """A change moves neither the number of vectors that the codewords stand for, nor their mean."""
    size = {"kind": "dynamic", "start": start, "rate_bits": rate_bits, "every": 1000}
    vq = quantizer("vector", codebook_sizes=[24], dim=4, decay=0.9, size=size)
    book = next(part for part in vq.modules() if isinstance(part, DynamicCodebook))
    for step in range(5):
        vq(vectors(64, seed=seed + step), generator=torch.Generator().manual_seed(step))
    z = vectors(64, seed=seed + 5)
    before = book.counts.sum(), (book.vectors * book.counts[:, None]).sum(0)
    book.sums.copy_(book.vectors * book.counts[:, None])
    book.age.fill_(999)
    book._renew(z, book.assign(z), None)
    torch.testing.assert_close(book.counts.sum(), before[0])
    torch.testing.assert_close((book.vectors * book.counts[:, None]).sum(0), before[1], atol=1e-4, rtol=1e-4)
    assert 2 <= int(book.living.sum()) <= 24
    assert not bool(book.counts[~book.living].any())


def test_a_settled_quantizer_has_the_codewords_in_use_and_nothing_else_changes(size: tuple[int, ...]) -> None:
    for settings in ({"kind": "vector"}, {"kind": "residual", "lookup_dim": 4}):
        change = {"kind": "dynamic", "start": 3, "rate_bits": 3.0, "every": 2}
        vq = quantizer(**settings, codebook_sizes=[32, 16], dim=4, size=change)
        for seed in range(30):
            vq(vectors(2, *size, seed=seed), generator=torch.Generator().manual_seed(seed))
        vq.eval()
        z, usage = vectors(2, *size, seed=99), CodeUsage(vq.codebook_sizes)
        usage.add(vq.encode(z))
        settled = vq.settle(usage.counts)
        assert settled.settled
        assert not vq.settled
        torch.testing.assert_close(settled(z).vectors, vq(z).vectors)
        left = CodeUsage(settled.codebook_sizes)
        left.add(settled.encode(z))
        assert left.usage == 1.0
        assert settled.settle(left.counts) is settled


def test_a_codebook_of_one_used_codeword_keeps_two() -> None:
    vq = grown(8, steps=3, start=4, rate_bits=1.0)
    assert vq.settle([torch.tensor([0, 5, 0, 0, 0, 0, 0, 0])]).codebook_sizes == (2,)


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ("start=1, rate_bits=2", "greater than or equal to 2"),
        ("start=32, rate_bits=2", r"size.start is 32, but codebook_sizes allows at most 16"),
        ("start=4, rate_bits=4", r"below 4, the bits of 16 codewords.*ask for fewer"),
        ("start=4", "give one of rate_bits, error_share, price, not none"),
        ("start=4, rate_bits=2, price=0.1", "not rate_bits and price"),
        ("start=4, error_share=1.5", "less than 1"),
    ],
)
def test_impossible_sizes_are_refused(size: str, said: str) -> None:
    quantizer_ = f'{{kind="vector", codebook_sizes=[16], dim=8, size={{kind="dynamic", {size}}}}}'
    with pytest.raises(RecipeError, match=said):
        tiny(f"tokenizer.quantizer={quantizer_}")
    with pytest.raises(RecipeError, match="size needs update = 'ema'"):
        tiny(SIZE, "tokenizer.quantizer.update='gradient'")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(tiny(SIZE), tmp_path_factory.mktemp("dynamic") / "run")


def test_a_kept_tokenizer_has_no_unused_codeword(run: Run) -> None:
    tokenizer = run.tokenizer()
    assert tokenizer.quantizer.settled
    usage = CodeUsage(tokenizer.quantizer.codebook_sizes)
    for batch in evaluation_batches(open_dataset(run.recipe().data, "train"), 16):
        usage.add(tokenizer.encode(batch.x))
    assert usage.usage == 1.0
    assert run.prior().codebook_sizes == tokenizer.quantizer.codebook_sizes
    assert tokenizer.quantizer.codebook_sizes != run.recipe().tokenizer.quantizer.codebook_sizes  # type: ignore[union-attr]


def test_size_and_error_are_logged_and_reported(run: Run) -> None:
    (record,) = run.records("tokenizer", "train")
    assert record["codewords"] >= 4
    assert 0 < record["error_share"] < 1
    contents = report_contents(run, evaluate(run, quick=True), samples=2, seed=0)
    (section,) = (section for section in contents.sections if section.name == "size-over-time")
    section.draw()


@pytest.mark.slow
def test_onnx_files_hold_the_kept_codewords(run: Run, tmp_path: Path) -> None:
    assert export_onnx(run.tokenizer(), tmp_path / "onnx").codes == 0


def test_a_collapse_is_said_once() -> None:
    from codeword.tokenizer import Tokenizer

    task = TokenizerTask(Tokenizer(tiny().tokenizer))
    said = [list(task.concerns({"usage": usage})) for usage in (0.5, COLLAPSED / 2, COLLAPSED / 2, 0.5, COLLAPSED / 2)]
    assert [len(sentences) for sentences in said] == [0, 1, 0, 0, 1]
    assert "only 2.5% of the codewords are in use" in said[1][0]
