"""The benchmarks' peers compute what they claim to, and their report has its shape. No time is asserted."""

import json
from math import log

import pytest
import torch
from benchmarks import nearest as nearest_part
from benchmarks import wavenet as wavenet_part
from benchmarks.__main__ import PARTS, main
from benchmarks.naive import naive_continue, naive_logits, naive_nearest, naive_quantize, naive_sample
from benchmarks.naive_codec import naive_compress, naive_decompress
from benchmarks.pixelcnn import build, draw
from benchmarks.quantizers import pairs, step
from benchmarks.timing import interleaved
from benchmarks.train import QUICK, flop_of, our_config, our_step, peer_step

from codeword.config import SyntheticImagesConfig, TrainingConfig
from codeword.data import Batch
from codeword.data.synthetic.images import SyntheticImages
from codeword.priors import PixelCNN, walk
from codeword.quantizers import nearest

RATIOS = {
    "train": {"train_step_vs_naive", "fraction_of_gemm_peak"},
    "nearest": {f"nearest_k{k}_{name}" for k in (16, 32) for name in ("vs_vqp", "fraction_of_gemm")},
    "quantizers": {f"quantizer_{name}_step_vs_vqp" for name in pairs(16)},
    "pixelcnn": {"pixelcnn_cached_vs_naive"},
    "wavenet": {"wavenet_cached_vs_naive"},
    "transformer": {"transformer_cached_vs_naive", "masked_vs_cached", "masked_vs_cached_one_grid"},
    "codec": {"codec_compress_vs_naive", "codec_decompress_vs_naive"},
    "speech": {"speech_train_step_vs_report"},
    "gemm": set(),
}


def images(number: int) -> Batch:
    config = SyntheticImagesConfig(size=16, train=number, valid=1, test=1)
    return SyntheticImages(config, "train").take(range(number))


def test_the_naive_step_learns_and_so_does_ours() -> None:
    batch = images(16)
    training = TrainingConfig(warmup_steps=1, ema_decay=0.9)
    naive = peer_step(QUICK, batch.x)
    ours = our_step(our_config(QUICK), training, batch)
    errors, losses = zip(*((naive()[0], ours()) for _ in range(120)), strict=True)
    assert errors[-1] < errors[0] / 2
    assert losses[-1] < losses[0] / 2


def test_both_train_the_same_model() -> None:
    """As many operations a step, but for the two products by which the peer looks up and sums."""
    batch = images(4)
    naive = peer_step(QUICK, batch.x)
    ours = our_step(our_config(QUICK), TrainingConfig(), batch)
    ours()  # The first step also runs k-means.
    one_product = 2 * (4 * 4 * 4) * 16 * 64  # 2 N K D
    assert flop_of(naive) - flop_of(ours) == 2 * one_product


@pytest.mark.parametrize("name", pairs(16))
def test_both_quantizers_train(name: str) -> None:
    z = torch.randn(2, 40, 64, generator=torch.Generator().manual_seed(0))
    for module in pairs(16)[name]:
        gradient = step(module, z)()
        assert bool(gradient.abs().sum(-1).gt(0).all())


@pytest.mark.parametrize("codewords", [1, 17, 1500])
def test_the_naive_searches_find_the_codewords_that_ours_finds(codewords: int) -> None:
    z, codebook = nearest_part.data(700, codewords)
    codes = nearest(z, codebook)
    one_hot, vectors = naive_quantize(z, codebook)
    vqp_vectors, vqp, _ = nearest_part.peer(codebook)(z)
    for found in (one_hot, naive_nearest(z, codebook), vqp):
        assert nearest_part.equally_near(z, codebook, codes, found)
    torch.testing.assert_close(vectors, codebook[one_hot])
    torch.testing.assert_close(vqp_vectors, codebook[vqp])


def test_codes_that_are_farther_are_told_from_ties() -> None:
    z, codebook = nearest_part.data(50, 8)
    codes = nearest(z, codebook)
    assert not nearest_part.equally_near(z, codebook, codes, (codes + 1) % 8)


def test_naive_sampling_draws_what_the_cached_walk_draws() -> None:
    prior = build(layers=3, width=8, grid=(3, 4), codewords=16)
    codes = walk(prior, 5, draw())
    assert torch.equal(naive_sample(prior, 5, draw()), codes)
    assert len(set(codes.flatten().tolist())) > 3


def test_naive_logits_are_those_of_the_walk(prior: PixelCNN) -> None:
    """Also with several codes a cell, and in one dimension."""
    batch, choose = 3, draw()
    seen: list[torch.Tensor] = []

    def record(logits: torch.Tensor, i: int) -> torch.Tensor:
        seen.append(logits)
        return choose(logits)

    codes = walk(prior, batch, record)
    for i, logits in enumerate(seen):
        torch.testing.assert_close(naive_logits(prior, codes, i), logits, atol=1e-5, rtol=1e-4)


def test_naive_continuation_draws_what_the_cached_walk_draws() -> None:
    """Also behind more cells than the network sees."""
    prior = wavenet_part.build(dilations=(1, 2, 4), width=8, codewords=16)
    codes = walk(prior, 3, draw(), grid=(30,))
    choose = draw()
    start = walk(prior, 3, choose, grid=(1,))
    assert torch.equal(naive_continue(prior, start, 29, choose), codes)
    assert len(set(codes.flatten().tolist())) > 3


def test_the_naive_codec_gives_the_codes_back_at_their_price(prior: PixelCNN) -> None:
    codes = walk(prior, 6, draw())
    contents = naive_compress(prior, codes)
    assert torch.equal(naive_decompress(prior, contents), codes)
    ideal_bits = -float(prior.log_prob(codes).detach().sum()) / log(2)
    # Up to 25 bits of state and 7 of the last byte end each signal.
    assert ideal_bits * 0.99 < 8 * sum(map(len, contents)) < ideal_bits * 1.01 + 6 * 32


def test_runs_take_turns_and_the_warm_up_is_not_counted() -> None:
    order: list[str] = []
    times = interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=2)
    assert order == ["a", "b"] * 3
    assert {name: len(seconds) for name, seconds in times.seconds.items()} == {"a": 2, "b": 2}


@pytest.mark.parametrize("part", PARTS)
def test_json_is_one_object_of_ratios_and_figures_and_nothing_else(
    part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([part, "--json", "--quick"]) == 0
    tree = json.loads(capsys.readouterr().out)
    assert set(tree) == {"ratios", "figures", "machine"}
    assert set(tree["ratios"]) == RATIOS[part]
    assert all(value > 0 for value in tree["ratios"].values())
    units = ("_percent", "_per_s", "_per_image", "_mib", "_ratio", "_s", "_xrt")
    assert tree["figures"]
    assert all(name.endswith(units) and isinstance(value, float) for name, value in tree["figures"].items())


def test_the_table_names_the_peer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pixelcnn", "--quick"]) == 0
    assert "pixelcnn_cached_vs_naive" in capsys.readouterr().out.replace("\n", "")


def test_an_unknown_part_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nearest", "nosuch"]) == 2
    captured = capsys.readouterr()
    assert not captured.out
    assert captured.err == f"There is no part 'nosuch'; the parts are {', '.join(PARTS)}.\n"
