"""Laws of WaveNet, as a prior over codes and as a decoder of samples: causal, normalised, and the same walked."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from codeword.config import (
    ConvTrunkConfig,
    PixelCNNConfig,
    PriorModelConfig,
    TokenizerConfig,
    VectorQuantizerConfig,
    WaveNetConfig,
    WaveNetDecoderConfig,
)
from codeword.errors import RecipeError, UnsupportedError, UsageError
from codeword.likelihoods import WaveNetDecoder, build_likelihood
from codeword.nn.dilated import DilatedStack, DilatedWalk
from codeword.priors import PixelCNN, Sampler, WaveNet, build_prior, load_prior, walk
from codeword.tokenizer import Tokenizer

DILATIONS = st.lists(st.integers(1, 9), min_size=1, max_size=5).map(tuple)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def build_wavenet(
    *, codebook_sizes: tuple[int, ...] = (5, 4), dilations: tuple[int, ...] = (1, 2, 4), conditional: bool = True
) -> WaveNet:
    torch.manual_seed(0)
    architecture = WaveNetConfig(dilations=dilations, width=6, skip_width=8, head_width=8, conditional=conditional)
    prior = build_prior(
        PriorModelConfig(architecture=architecture, grid=(7,), codebook_sizes=codebook_sizes, classes=3)
    )
    assert isinstance(prior, WaveNet)
    torch.nn.init.normal_(prior.label_embedding.weight)
    return prior.eval()


def build_decoder(*, values: int = 256, dilations: tuple[int, ...] = (1, 2, 4, 1, 2)) -> WaveNetDecoder:
    torch.manual_seed(0)
    config = WaveNetDecoderConfig(dilations=dilations, width=6, skip_width=8, features=3)
    decoder = build_likelihood(config, channels=1, values=values)
    assert isinstance(decoder, WaveNetDecoder)
    return decoder.eval()


def random_codes(prior: WaveNet, batch: int, cells: int) -> Tensor:
    generator = seeded()
    return torch.stack([torch.randint(n, (batch, cells), generator=generator) for n in prior.codebook_sizes], -1)


def signal(decoder: WaveNetDecoder, batch: int, samples: int) -> tuple[Tensor, Tensor]:
    """Features (B, F, T) and x (B, 1, T)."""
    features = torch.randn(batch, decoder.features, samples, generator=seeded(1))
    return features, torch.randint(decoder.values, (batch, 1, samples), generator=seeded(2))


# The stack ---------------------------------------------------------------------------------------


@given(dilations=DILATIONS, batch=st.integers(1, 3), places=st.integers(1, 40), conditional=st.booleans())
def test_the_stack_walked_gives_what_it_gives_in_parallel(
    dilations: tuple[int, ...], batch: int, places: int, conditional: bool
) -> None:
    torch.manual_seed(0)
    stack = DilatedStack(dilations, width=4, skip_width=5, condition=3 * conditional, local=2 * conditional)
    torch.nn.init.normal_(stack.bias)
    h, local = torch.randn(batch, places, 4), torch.randn(batch, places, 2) if conditional else None
    condition = torch.randn(batch, 3) if conditional else None
    steps = DilatedWalk(stack, batch, condition=condition)
    drives = [None] * places if local is None else steps.drives(local)
    walked = torch.stack([steps.step(h[:, t], drives[t]) for t in range(places)], 1)
    parallel = stack(h, condition=condition, local=local)
    torch.testing.assert_close(walked, parallel, atol=1e-5, rtol=1e-4)


@given(dilations=DILATIONS)
def test_an_output_sees_its_own_place_and_the_receptive_field_no_more(dilations: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    stack = DilatedStack(dilations, width=4, skip_width=5)
    places = stack.receptive_field + 3
    h = torch.randn(1, places, 4, requires_grad=True)
    stack(h)[0, -1].sum().backward()
    seen = h.grad[0].abs().sum(-1) > 0  # type: ignore[index]
    assert not bool(seen[:3].any())
    assert bool(seen[3])
    assert bool(seen[-1])


def test_the_stack_computes_the_equation_of_the_paper() -> None:
    torch.manual_seed(0)
    stack = DilatedStack((2,), width=3, skip_width=3)
    h = torch.randn(1, 5, 3)
    before = torch.cat([torch.zeros(1, 2, 3), h[:, :3]], 1)
    a, b = (before @ stack.past[0].weight.t() + h @ stack.now[0].weight.t() + stack.bias[0]).chunk(2, -1)
    torch.testing.assert_close(stack(h), stack.skip(torch.tanh(a) * torch.sigmoid(b)))


# The prior ---------------------------------------------------------------------------------------


@given(
    dilations=DILATIONS,
    codebook_sizes=st.lists(st.integers(2, 5), min_size=1, max_size=2).map(tuple),
    cells=st.integers(1, 30),
    label=st.one_of(st.none(), st.integers(0, 2)),
    conditional=st.booleans(),
)
def test_the_walk_gives_the_parallel_log_probability_at_any_length(
    dilations: tuple[int, ...], codebook_sizes: tuple[int, ...], cells: int, label: int | None, conditional: bool
) -> None:
    prior = build_wavenet(codebook_sizes=codebook_sizes, dilations=dilations, conditional=conditional)
    labels = None if label is None else torch.full((3,), label)
    draw, seen = Sampler(generator=seeded()), []

    def choose(logits: Tensor, i: int) -> Tensor:
        seen.append(logits)
        return draw(logits)

    codes = walk(prior, 3, choose, label=labels, grid=(cells,))
    assert codes.shape == (3, cells, len(codebook_sizes))
    total = torch.zeros(3)
    for k, parallel in enumerate(prior.all_logits(codes, labels)):
        walked = torch.stack(seen[k :: len(codebook_sizes)], 1)
        torch.testing.assert_close(walked, parallel, atol=1e-4, rtol=1e-4)
        total -= F.cross_entropy(walked.transpose(1, 2), codes[..., k], reduction="none").sum(1)
    torch.testing.assert_close(prior.log_prob(codes, labels), total, atol=1e-4, rtol=1e-4)


def test_a_walk_is_as_long_as_the_grid_unless_told() -> None:
    assert walk(build_wavenet(), 2, Sampler(generator=seeded())).shape == (2, 7, 2)


@pytest.mark.parametrize("grid", [(2, 3), (0,)])
def test_a_walk_refuses_a_grid_that_cannot_be(grid: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"grid is .* one for each axis"):
        walk(build_wavenet(), 1, Sampler(), grid=grid)


def test_pixelcnn_walks_its_own_grid_only() -> None:
    prior = PixelCNN(
        PriorModelConfig(architecture=PixelCNNConfig(layers=1, width=4, head_width=4), grid=(2, 3), codebook_sizes=(4,))
    )
    assert walk(prior, 1, Sampler(generator=seeded()), grid=(2, 3)).shape == (1, 2, 3, 1)
    with pytest.raises(UnsupportedError, match="2 x 3 cells and was asked for 3 x 3"):
        walk(prior, 1, Sampler(), grid=(3, 3))


def test_codes_on_a_plane_are_refused_with_the_way_out() -> None:
    config = PriorModelConfig(architecture=WaveNetConfig(), grid=(8, 8), codebook_sizes=(16,))
    with pytest.raises(RecipeError, match=r"8 x 8; set prior.kind=\"pixelcnn\""):
        build_prior(config)


def test_no_cell_of_the_prior_sees_itself_or_a_later_one() -> None:
    """By gradient; and each sees all before it that lie in its receptive field."""
    prior = build_wavenet(dilations=(1, 2, 1))
    inputs: list[Tensor] = []
    for table in prior.embed:
        table.register_forward_hook(lambda *args: inputs.append(args[2].requires_grad_()) or inputs[-1])
    features = prior._cell_features(prior._embedded(random_codes(prior, 1, 9)), torch.zeros(1, dtype=torch.int64))
    for cell in range(9):
        gradient = torch.autograd.grad(features[0, cell].sum(), inputs[0], retain_graph=True)[0]
        seen = (gradient[0].abs().sum(-1) > 0).nonzero().flatten().tolist()
        assert seen == list(range(max(0, cell - prior.stack.receptive_field), cell))


def test_within_a_cell_codes_see_only_those_before() -> None:
    prior = build_wavenet(codebook_sizes=(5, 4, 3))
    codes = random_codes(prior, 1, 6)
    before = [logits.detach() for logits in prior.all_logits(codes)]
    for k, n in enumerate(prior.codebook_sizes):
        changed = codes.clone()
        changed[0, 2, k] = (changed[0, 2, k] + 1) % n
        for j, (old, new) in enumerate(zip(before, prior.all_logits(changed), strict=True)):
            moved = [(old[0, cell] - new[0, cell]).abs().max().item() > 0 for cell in range(6)]
            assert moved == [False, False, j > k, True, True, True]


def test_probabilities_of_all_codes_sum_to_one() -> None:
    prior = build_wavenet(codebook_sizes=(3, 2))
    cells = torch.cartesian_prod(torch.arange(3), torch.arange(2))
    codes = cells[torch.cartesian_prod(*[torch.arange(6)] * 3)]
    for label in (None, torch.full((len(codes),), 1)):
        assert prior.log_prob(codes, label).logsumexp(0).item() == pytest.approx(0, abs=1e-4)


def test_signals_of_a_batch_do_not_meet() -> None:
    prior, decoder = build_wavenet(), build_decoder()
    codes, label = random_codes(prior, 3, 11), torch.tensor([0, 1, 3])
    alone = torch.cat([prior.log_prob(codes[i : i + 1], label[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(prior.log_prob(codes, label), alone)
    features, x = signal(decoder, 3, 11)
    alone = torch.cat([decoder.log_prob(features[i : i + 1], x[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(decoder.log_prob(features, x), alone)


def test_labels_matter_and_none_means_not_told() -> None:
    prior = build_wavenet()
    codes = random_codes(prior, 2, 7)
    hidden = prior.log_prob(codes)
    assert torch.equal(hidden, prior.log_prob(codes, torch.full((2,), prior.classes)))
    assert not torch.equal(hidden, prior.log_prob(codes, torch.zeros(2, dtype=torch.int64)))


def test_a_saved_prior_is_the_same_loaded(tmp_path: object) -> None:
    prior = build_wavenet()
    prior.save_pretrained(f"{tmp_path}/prior")
    codes = random_codes(prior, 2, 12)
    assert torch.equal(load_prior(f"{tmp_path}/prior").log_prob(codes), prior.log_prob(codes))


def test_the_prior_learns_a_melody() -> None:
    """A sequence of period 3 costs nearly nothing after its first cells."""
    prior = build_wavenet(codebook_sizes=(3,)).train()
    codes = (torch.arange(30) + torch.arange(3)[:, None]).remainder(3)[..., None]
    optimizer = torch.optim.Adam(prior.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        prior(codes).backward()
        optimizer.step()
    assert prior(codes).item() < 0.1
    melody = walk(prior, 4, Sampler(generator=seeded()), grid=(60,))[..., 0]
    steps = (melody[:, 2:] - melody[:, 1:-1]).remainder(3)
    assert (steps == 1).float().mean().item() > 0.95


# The decoder -------------------------------------------------------------------------------------


@given(dilations=DILATIONS, batch=st.integers(1, 3), samples=st.sampled_from([1, 2, 7, 40, 300]))
def test_sampling_uses_the_parallel_logits(dilations: tuple[int, ...], batch: int, samples: int) -> None:
    decoder = build_decoder(dilations=dilations)
    features, _ = signal(decoder, batch, samples)
    seen, done = [], []
    decoder.output.register_forward_hook(lambda *args: seen.append(args[2]))
    x = decoder.sample(features, generator=seeded(), progress=done.append)
    assert x.shape == (batch, 1, samples)
    assert done == list(range(1, samples + 1))
    walked = torch.stack(seen, 1)
    torch.testing.assert_close(walked, decoder.logits(features, x), atol=1e-4, rtol=1e-4)


def test_no_logit_of_the_decoder_sees_its_sample_or_a_later_one() -> None:
    decoder = build_decoder(dilations=(1, 2, 1))
    features, x = signal(decoder, 1, 9)
    inputs: list[Tensor] = []
    decoder.embed.register_forward_hook(lambda *args: inputs.append(args[2].requires_grad_()) or inputs[-1])
    logits = decoder.logits(features, x)
    for t in range(9):
        gradient = torch.autograd.grad(logits[0, t].sum(), inputs[0], retain_graph=True)[0]
        seen = (gradient[0].abs().sum(-1) > 0).nonzero().flatten().tolist()
        assert seen == list(range(max(0, t - decoder.stack.receptive_field), t))


def test_the_decoder_sums_to_one_over_all_signals() -> None:
    decoder = build_decoder(values=4)
    x = torch.cartesian_prod(*[torch.arange(4)] * 4)[:, None]
    features = signal(decoder, 1, 4)[0].expand(len(x), -1, -1)
    assert decoder.log_prob(features, x).logsumexp(0).item() == pytest.approx(0, abs=1e-4)


def test_the_loss_is_nats_a_sample_and_starts_near_uniform() -> None:
    decoder = build_decoder()
    features, x = signal(decoder, 2, 50)
    loss = decoder.loss(features, x).item()
    assert loss == pytest.approx(-decoder.log_prob(features, x).sum().item() / 100, rel=1e-5)
    assert loss == pytest.approx(5.545, abs=0.3)  # ln 256


def test_samples_follow_the_probabilities() -> None:
    decoder = build_decoder(values=4)
    x = torch.cartesian_prod(*[torch.arange(4)] * 2)[:, None]
    features = signal(decoder, 1, 2)[0]
    drawn = decoder.sample(features.expand(20_000, -1, -1), generator=seeded())[:, 0]
    observed = torch.bincount(drawn[:, 0] * 4 + drawn[:, 1], minlength=16) / 20_000
    predicted = decoder.log_prob(features.expand(16, -1, -1), x).exp()
    torch.testing.assert_close(observed, predicted.detach(), atol=0.012, rtol=0)


def test_features_matter_and_one_seed_gives_one_sample() -> None:
    decoder = build_decoder()
    features, x = signal(decoder, 2, 30)
    assert not torch.equal(decoder.log_prob(features, x), decoder.log_prob(-features, x))
    draws = [decoder.sample(features, generator=seeded(seed)) for seed in (3, 3, 4)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert torch.equal(decoder.mean(features), decoder.mean(features))


def test_a_tokenizer_with_a_wavenet_decoder_learns_and_decodes_to_the_length() -> None:
    torch.manual_seed(0)
    config = TokenizerConfig(
        ndim=1,
        channels=1,
        trunk=ConvTrunkConfig(width=8, residual_width=4, residual_blocks=1, strides=(2, 2)),
        quantizer=VectorQuantizerConfig(codebook_sizes=(8,), dim=8),
        likelihood=WaveNetDecoderConfig(dilations=(1, 2, 4), width=8, skip_width=8, features=4),
    )
    tokenizer = Tokenizer(config)
    wave = torch.sin(torch.arange(4 * 61).view(4, 1, 61) / 3)
    x = (wave * 100 + 128).long()
    optimizer = torch.optim.Adam(tokenizer.parameters(), lr=0.01)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        # As training does: products in bfloat16, probabilities in float32.
        with torch.autocast("cpu", torch.bfloat16):
            result = tokenizer(x, generator=seeded())
        result.loss.backward()
        optimizer.step()
        losses.append(result.signal_loss.item())
    assert losses[-1] < losses[0] - 1
    tokenizer.eval()
    codes = tokenizer.encode(x)
    decoded = tokenizer.decode(codes, size=(61,))
    assert decoded.shape == x.shape
    assert decoded.dtype == torch.int64
    assert torch.equal(decoded, tokenizer.decode(codes, size=(61,)))


@pytest.mark.parametrize("wrong", [{"ndim": 2}, {"channels": 3}, {"values": 65536}])
def test_a_wavenet_decoder_is_for_one_channel_of_few_values(wrong: dict[str, int]) -> None:
    right = {"ndim": 1, "channels": 1, "values": 256}
    TokenizerConfig(**right, likelihood=WaveNetDecoderConfig())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs ndim = 1, channels = 1 and at most 1024"):
        TokenizerConfig(**(right | wrong), likelihood=WaveNetDecoderConfig())  # type: ignore[arg-type]


def test_a_step_costs_the_same_however_long_the_past_is() -> None:
    """In memory, for time is the machine's: the state does not grow."""
    prior = build_wavenet(codebook_sizes=(4,))
    state, sizes = prior.start(1), []
    for i in range(30):
        prior.push(state, i, prior.logits(state, i).argmax(-1))
        sizes.append(sum(t.numel() for t in vars(state.walk).values() if isinstance(t, Tensor)))
    assert all(before == after for before, after in pairwise(sizes))
