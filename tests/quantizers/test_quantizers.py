"""Laws of the quantizers, and the traps that others fell into."""

from math import log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from codeword.config import (
    BinaryQuantizerConfig,
    DynamicSizeConfig,
    FiniteScalarQuantizerConfig,
    IdentityQuantizerConfig,
    NoCodesConfig,
    QuantizerConfig,
    ResidualQuantizerConfig,
    VectorQuantizerConfig,
)
from codeword.quantizers import CodeUsage, Quantizer, VectorQuantizer, build_quantizer, nearest
from codeword.quantizers.base import along_error, rotated

CONFIGS: list[QuantizerConfig] = [
    VectorQuantizerConfig(codebook_sizes=(16,), dim=8),
    VectorQuantizerConfig(codebook_sizes=(16, 4), dim=8, init="data"),
    VectorQuantizerConfig(codebook_sizes=(16,), dim=8, update="gradient", init="uniform"),
    VectorQuantizerConfig(codebook_sizes=(16, 16), dim=8, lookup_dim=4),
    VectorQuantizerConfig(codebook_sizes=(16,), dim=8, cosine=True),
    ResidualQuantizerConfig(codebook_sizes=(16, 8, 8), dim=8, lookup_dim=None),
    ResidualQuantizerConfig(codebook_sizes=(16, 8), dim=8, lookup_dim=4, served_codes=(1,), cosine=True),
    ResidualQuantizerConfig(codebook_sizes=(16, 8), dim=8, update="gradient", init="data"),
    VectorQuantizerConfig(codebook_sizes=(16, 4), dim=8, update="linear", estimator="rotation"),
    VectorQuantizerConfig(codebook_sizes=(16, 4), dim=8, update="gradient", estimator="diveq"),
    VectorQuantizerConfig(codebook_sizes=(16,), dim=8, rate_weight=0.5, revive_below=0),
    ResidualQuantizerConfig(codebook_sizes=(16, 8), dim=8, update="linear", rate_weight=0.5),
    ResidualQuantizerConfig(codebook_sizes=(16, 8), dim=8, update="gradient", estimator="diveq"),
    VectorQuantizerConfig(codebook_sizes=(32, 16), dim=8, size=DynamicSizeConfig(start=4, rate_bits=3, every=1)),
    ResidualQuantizerConfig(codebook_sizes=(16, 8), dim=8, size=DynamicSizeConfig(start=8, error_share=0.5, every=1)),
    BinaryQuantizerConfig(bits=5, dim=8),
    IdentityQuantizerConfig(codebook_sizes=(9,) * 8),
    FiniteScalarQuantizerConfig(channel_levels=(5, 4, 3), dim=8),
    NoCodesConfig(dim=8),
]


def vectors(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=CONFIGS, ids=lambda c: "-".join(str(v) for v in c.model_dump().values())[:60])
def quantizer(request: pytest.FixtureRequest) -> Quantizer:
    torch.manual_seed(0)
    quantizer = build_quantizer(request.param)
    for seed in range(3):
        quantizer(vectors(64, 8, seed=seed), generator=torch.Generator().manual_seed(seed))
    return quantizer.eval()


def test_codes_and_vectors_agree_at_any_rank(quantizer: Quantizer, size: tuple[int, ...]) -> None:
    z = vectors(2, *size, 8)
    result = quantizer(z)
    assert result.codes.shape == (2, *size, len(quantizer.codebook_sizes))
    assert all(int(result.codes[..., k].min()) >= 0 for k in range(len(quantizer.codebook_sizes)))
    assert all(int(result.codes[..., k].max()) < n for k, n in enumerate(quantizer.codebook_sizes))
    assert torch.equal(quantizer.encode(z), result.codes)
    torch.testing.assert_close(quantizer.decode(result.codes), result.vectors, atol=1e-5, rtol=1e-5)


def test_a_vector_is_the_sum_of_the_contributions_of_its_codes(quantizer: Quantizer) -> None:
    codes = quantizer.encode(vectors(20, 8, seed=7))
    parts = quantizer.contributions()
    summed = torch.stack([part[codes[:, k]] for k, part in enumerate(parts)]).sum(0)
    found = quantizer.decode(codes)
    torch.testing.assert_close(summed - summed[0], found - found[0], atol=1e-4, rtol=1e-4)
    for part in parts:
        torch.testing.assert_close(part.mean(0), torch.zeros(8), atol=1e-5, rtol=0)


def test_quantizing_a_quantized_vector_changes_nothing() -> None:
    for config in (CONFIGS[0], CONFIGS[1], CONFIGS[4]):
        quantizer = build_quantizer(config)
        quantizer(vectors(64, 8))
        quantizer.eval()
        once = quantizer(vectors(50, 8, seed=9))
        again = quantizer(once.vectors)
        assert torch.equal(once.codes, again.codes)
        torch.testing.assert_close(once.vectors, again.vectors)


def test_finite_scalar_codes_are_a_bijection() -> None:
    quantizer = build_quantizer(FiniteScalarQuantizerConfig(channel_levels=(5, 4, 3), dim=8))
    (book,) = quantizer.codewords()
    assert book.shape == (60, 3)
    assert len(book.unique(dim=0)) == 60


def test_gradient_goes_straight_through(quantizer: Quantizer) -> None:
    z = vectors(10, 8).requires_grad_()
    quantizer.train()
    result = quantizer(z, generator=torch.Generator().manual_seed(0))
    (result.vectors.square().sum() + result.loss.mean()).backward()
    assert z.grad is not None
    # Without codes no gradient may reach the encoder: nothing depends on it.
    assert bool((z.grad.abs().sum(1) > 0).all()) == (max(quantizer.codebook_sizes) > 1)


def test_straight_through_gradient_is_exactly_the_decoders() -> None:
    quantizer = VectorQuantizer(VectorQuantizerConfig(codebook_sizes=(16,), dim=8, beta=0.0, init="uniform")).eval()
    z, weight = vectors(10, 8).requires_grad_(), vectors(10, 8, seed=1)
    (quantizer(z).vectors * weight).sum().backward()
    assert torch.equal(z.grad, weight)  # type: ignore[arg-type]


def test_beta_weighs_the_commitment_and_not_the_codebook_term() -> None:
    z = vectors(32, 8)
    books = vectors(16, 8, seed=1)

    def gradients(beta: float) -> tuple[Tensor, Tensor]:
        quantizer = VectorQuantizer(
            VectorQuantizerConfig(codebook_sizes=(16,), dim=8, beta=beta, update="gradient", init="uniform")
        ).eval()
        book = next(iter(quantizer.codebooks))
        book.vectors.data.copy_(books)
        leaf = z.clone().requires_grad_()
        quantizer(leaf).loss.mean().backward()
        return leaf.grad, book.vectors.grad  # type: ignore[return-value]

    (z_low, e_low), (z_high, e_high) = gradients(0.25), gradients(1.0)
    torch.testing.assert_close(z_high, 4 * z_low)
    torch.testing.assert_close(e_high, e_low)


def test_loss_is_measured_before_the_straight_through_patch() -> None:
    quantizer = VectorQuantizer(VectorQuantizerConfig(codebook_sizes=(16,), dim=8, beta=1.0, init="uniform")).eval()
    z = vectors(10, 8)
    result = quantizer(z)
    expected = 2 * (z - quantizer.decode(result.codes)).square().mean(-1)
    assert float(expected.min()) > 0.1
    torch.testing.assert_close(result.loss, expected)


def test_averages_do_not_explode_in_the_first_steps() -> None:
    """Counts that start at 0, with sums that do not, make nearly all codewords explode at once."""
    for init in ("kmeans", "data", "uniform"):
        quantizer = VectorQuantizer(VectorQuantizerConfig(codebook_sizes=(64,), dim=8, init=init, revive_below=0))
        z = vectors(4096, 8)
        for _ in range(5):
            quantizer(z, generator=torch.Generator().manual_seed(0))
            assert float(quantizer.codewords()[0].norm(dim=1).max()) <= float(z.norm(dim=1).max())


def test_averages_keep_sums_equal_to_codebook_times_counts() -> None:
    quantizer = VectorQuantizer(VectorQuantizerConfig(codebook_sizes=(16,), dim=8))
    book = next(iter(quantizer.codebooks))
    for seed in range(20):
        quantizer(vectors(256, 8, seed=seed), generator=torch.Generator().manual_seed(seed))
        torch.testing.assert_close(book.sums, book.vectors * book.counts[:, None], atol=1e-3, rtol=1e-3)


def test_averages_move_to_the_centres_of_what_they_stand_for() -> None:
    centres = 10 * vectors(16, 8, seed=3)
    quantizer = VectorQuantizer(VectorQuantizerConfig(codebook_sizes=(16,), dim=8, decay=0.8, init="uniform"))
    book = next(iter(quantizer.codebooks))
    book.vectors.copy_(centres + vectors(16, 8, seed=4))
    book.sums.copy_(book.vectors)
    for seed in range(60):
        z = centres[torch.arange(512) % 16] + 0.1 * vectors(512, 8, seed=seed)
        quantizer(z, generator=torch.Generator().manual_seed(seed))
    assert float((book.vectors - centres).norm(dim=1).max()) < 0.1


def test_a_dead_codeword_comes_back_and_stays() -> None:
    quantizer = VectorQuantizer(VectorQuantizerConfig(codebook_sizes=(16,), dim=8, decay=0.9, revive_below=0.1))
    book = next(iter(quantizer.codebooks))
    z = vectors(512, 8)
    quantizer(z, generator=torch.Generator().manual_seed(0))
    book.vectors[3], book.sums[3], book.counts[3] = 1e4, 0.0, 0.0
    quantizer(z, generator=torch.Generator().manual_seed(1))
    assert float(book.vectors[3].norm()) < 100
    revived = book.vectors[3].clone()
    quantizer(z, generator=torch.Generator().manual_seed(2))
    assert float((book.vectors[3] - revived).norm()) < float(revived.norm()), "it died again at the next step"
    usage = CodeUsage((16,))
    usage.add(quantizer.encode(z))
    assert usage.usage == 1.0


def test_evaluation_never_moves_the_codebook(quantizer: Quantizer) -> None:
    before = {name: t.clone() for name, t in quantizer.state_dict().items()}
    quantizer(vectors(64, 8, seed=7) + 3)
    assert all(torch.equal(t, before[name]) for name, t in quantizer.state_dict().items())


def test_autocast_does_not_reach_the_search() -> None:
    quantizer = VectorQuantizer(VectorQuantizerConfig(codebook_sizes=(256,), dim=8, lookup_dim=4))
    z = vectors(2048, 8) + 30  # A shared offset is what makes half precision choose wrong codewords.
    quantizer(z)
    quantizer.eval()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(quantizer.encode(z), quantizer(z).codes)
        under_autocast = quantizer.encode(z)
    assert torch.equal(under_autocast, quantizer.encode(z))


def residual(*codebook_sizes: int, served_codes: tuple[int, ...] = ()) -> Quantizer:
    """A residual quantizer that has seen some data, in training mode."""
    quantizer = build_quantizer(
        ResidualQuantizerConfig(
            codebook_sizes=codebook_sizes, dim=8, lookup_dim=None, served_codes=served_codes, all_codes_probability=0.0
        )
    )
    for seed in range(10):
        quantizer(vectors(512, 8, seed=seed), generator=torch.Generator().manual_seed(seed))
    return quantizer


def test_each_residual_code_brings_the_vector_nearer() -> None:
    quantizer = residual(32, 32, 32, 32).eval()
    z = vectors(256, 8, seed=99)
    codes = quantizer.encode(z)
    errors = [float((z - quantizer.decode(codes[..., :k])).square().mean()) for k in range(1, 5)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 3


def test_training_decodes_each_signal_from_a_prefix_and_evaluation_from_all_codes() -> None:
    quantizer = residual(16, 16, 16, served_codes=(1, 2))
    assert quantizer.served_codes == (1, 2, 3)
    z = vectors(12, 5, 8, seed=99)
    result = quantizer(z, generator=torch.Generator().manual_seed(7))
    # The codebooks move only after they were used, so what was decoded is compared with the vectors of this pass.
    quantizer.eval()
    whole = quantizer(z)
    torch.testing.assert_close(whole.vectors, quantizer.decode(whole.codes))
    distances = torch.stack(
        [(result.vectors - quantizer.decode(result.codes[..., :k])).flatten(1).norm(dim=1) for k in (1, 2, 3)]
    )
    kept = distances.argmin(0) + 1
    assert set(kept.tolist()) == {1, 2}


SIZES_OF_CODEBOOKS = st.one_of(st.integers(1, 2500), st.sampled_from([64, 128, 1024, 2112]))


@given(n=st.integers(1, 1500), k=SIZES_OF_CODEBOOKS, d=st.integers(1, 5), seed=st.integers(0, 99))
def test_nearest_is_the_true_nearest_over_all_tiles(n: int, k: int, d: int, seed: int) -> None:
    z, book = vectors(n, d, seed=seed), vectors(k, d, seed=seed + 1)
    distances = (z.double()[:, None] - book.double()).square().sum(-1)
    found = distances.gather(1, nearest(z, book)[:, None]).squeeze(1)
    torch.testing.assert_close(found, distances.min(1).values, atol=1e-5, rtol=1e-5)


@given(n=st.integers(1, 600), k=SIZES_OF_CODEBOOKS, seed=st.integers(0, 99))
def test_costs_count_as_squared_distances(n: int, k: int, seed: int) -> None:
    z, book, costs = vectors(n, 3, seed=seed), vectors(k, 3, seed=seed + 1), vectors(k, seed=seed + 2).abs()
    total = (z.double()[:, None] - book.double()).square().sum(-1) + costs
    found = total.gather(1, nearest(z, book, costs=costs)[:, None]).squeeze(1)
    torch.testing.assert_close(found, total.min(1).values, atol=1e-5, rtol=1e-5)


def test_a_rate_weight_buys_fewer_bits_for_more_error() -> None:
    """The codes of more weight cost less in all, and their entropy is lower."""
    found = []
    for weight in (0.0, 1.5):
        config = VectorQuantizerConfig(codebook_sizes=(32,), dim=8, rate_weight=weight, revive_below=0)
        quantizer = build_quantizer(config)
        for seed in range(40):
            quantizer(vectors(512, 8, seed=seed), generator=torch.Generator().manual_seed(seed))
        z = vectors(4096, 8, seed=99)
        result = quantizer.eval()(z)
        counts = torch.bincount(result.codes.flatten(), minlength=32) / len(z)
        bits = -(counts * counts.clamp(min=1e-9).log2()).sum()
        found.append((float((z - result.vectors).square().sum(1).mean()), float(bits)))
    (error, bits), (more_error, fewer_bits) = found
    assert more_error > error
    assert fewer_bits < bits - 0.2
    assert more_error + 1.5 * fewer_bits < error + 1.5 * bits


@given(st.integers(0, 1000), st.floats(0.1, 10))
def test_a_rotated_gradient_keeps_its_angle_to_the_vector(seed: int, scale: float) -> None:
    """The gradient at z has the angle to z that the decoder's gradient has to the codeword, and scales with them."""
    z, found, wanted = (vectors(20, 8, seed=seed + i) for i in range(3))
    z = (scale * z).requires_grad_()
    passed = rotated(z, found)
    torch.testing.assert_close(passed, found)
    (passed * wanted).sum().backward()
    assert z.grad is not None
    cosine = torch.nn.functional.cosine_similarity
    torch.testing.assert_close(cosine(z.grad, z, dim=1), cosine(wanted, found, dim=1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(z.grad.norm(dim=1) / wanted.norm(dim=1), found.norm(dim=1) / z.norm(dim=1))


@given(st.integers(0, 1000))
def test_a_gradient_is_divided_along_the_error(seed: int) -> None:
    """Its part along the error moves the codeword, and the rest the vector."""
    z, found, wanted = (vectors(20, 8, seed=seed + i) for i in range(3))
    z, found = z.requires_grad_(), found.requires_grad_()
    passed = along_error(z, found)
    torch.testing.assert_close(passed, found)
    (passed * wanted).sum().backward()
    assert z.grad is not None
    assert found.grad is not None
    torch.testing.assert_close(z.grad + found.grad, wanted, atol=1e-5, rtol=1e-5)
    error = torch.nn.functional.normalize((found - z).detach(), dim=1)
    along = (wanted * error).sum(1, keepdim=True) * error
    torch.testing.assert_close(found.grad, along, atol=1e-5, rtol=1e-5)


def test_an_estimator_that_moves_codewords_needs_no_loss_but_gradients() -> None:
    quantizer = build_quantizer(VectorQuantizerConfig(dim=8, update="gradient", estimator="diveq"))
    assert not quantizer(vectors(600, 8).requires_grad_()).loss.requires_grad
    with pytest.raises(ValueError, match="set update = 'gradient'"):
        VectorQuantizerConfig(estimator="diveq")


def test_a_linear_map_moves_codewords_that_are_not_used() -> None:
    quantizer = build_quantizer(VectorQuantizerConfig(codebook_sizes=(16,), dim=8, update="linear", init="data"))
    z = vectors(4, 8)
    quantizer(vectors(64, 8), generator=torch.Generator().manual_seed(0))
    before = quantizer.codewords()[0].clone()
    quantizer(z).loss.mean().backward()
    with torch.no_grad():
        for weight in quantizer.parameters():
            weight.sub_(0.1 * weight.grad)  # type: ignore[arg-type, operator]
    assert bool(((quantizer.codewords()[0] - before).norm(dim=1) > 0).all())


def test_binary_codes_are_a_bijection_onto_the_corners() -> None:
    quantizer = build_quantizer(BinaryQuantizerConfig(bits=6, dim=8))
    (book,) = quantizer.codewords()
    assert len(book.unique(dim=0)) == 64
    torch.testing.assert_close(book.norm(dim=1), torch.ones(64))


def test_sure_and_equally_frequent_signs_have_the_least_binary_loss() -> None:
    quantizer = build_quantizer(BinaryQuantizerConfig(bits=3, dim=3, beta=0.0, entropy_weight=1.0))
    with torch.no_grad():
        quantizer.project_in.weight.copy_(torch.eye(3))  # type: ignore[union-attr, operator]
        quantizer.project_in.bias.zero_()  # type: ignore[union-attr, operator]
    corners = quantizer.codewords()[0]
    batches = corners, corners[:1].expand(8, -1), 0.001 * vectors(64, 3)
    losses = [float(quantizer(z).loss.detach().mean()) for z in batches]
    assert losses[0] == pytest.approx(-3 * log(2), abs=1e-3)
    assert losses[0] < min(losses[1:])


@given(st.lists(st.integers(0, 9), min_size=1, max_size=200), st.integers(1, 50))
def test_usage_and_perplexity_do_not_depend_on_batches(codes: list[int], batch: int) -> None:
    whole, parts = CodeUsage((10,)), CodeUsage((10,))
    tensor = torch.tensor(codes)[:, None]
    whole.add(tensor)
    for part in tensor.split(batch):
        parts.add(part)
    assert (whole.usage, whole.perplexity) == (parts.usage, parts.perplexity)
    assert whole.usage == len(set(codes)) / 10
    assert 1 - 1e-9 <= whole.perplexity <= len(set(codes)) + 1e-9
