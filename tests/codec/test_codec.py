"""A file gives back what its codes decode to, or the signal itself, at the price that the model sets."""

import hashlib
import io
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from math import log, prod
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny.codec_models import GRID, LIKELIHOODS, codes_of, decoded, model, signal, speech
from torch import Tensor

from codeword.codec import Codec, CompressOptions, Container, Signal, UnreadableSignal
from codeword.codec.format import MAGIC, MAX_SEGMENT_BYTES, Side, pack_fields
from codeword.codec.layout import Blocks
from codeword.errors import DataError, ModelError, UnsupportedError, UsageError
from codeword.model import Model
from codeword.nn.integers import softmax_weights
from codeword.priors import ExactPrior

SIDES = st.one_of(st.integers(1, 30), st.sampled_from([1, 12, 13, 16, 24, 31, 47]))
few = settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])


def archived(several: list[Tensor]) -> list[Signal]:
    return [Signal(f"{i}", tuple(x.shape[1:]), lambda x=x: [x]) for i, x in enumerate(several)]  # type: ignore[misc]


def heard(all_of_it: list[tuple[int, int]], done: int, total: int) -> None:
    all_of_it.append((done, total))


def coder_of(content: bytes) -> str:
    return Container(content, "a file").header.coder


@few
@given(data=st.data())
@pytest.mark.parametrize("prior", ["pixelcnn", "transformer", "uniform"])
def test_a_file_gives_what_its_codes_decode_to(ndim: int, prior: str, data: st.DataObject) -> None:
    chosen = model(ndim, prior)
    x = signal(chosen, *(data.draw(SIDES) for _ in range(ndim)))
    content = Codec(chosen).compress(x)
    assert torch.equal(Codec(chosen).decompress(content), decoded(chosen, x))
    assert prior != "uniform" or coder_of(content) in ("uniform", "histogram")


@settings(few, max_examples=4)
@given(samples=st.sampled_from([1, 31, 32, 1009]), options=st.builds(CompressOptions, codes=st.integers(1, 3)))
def test_a_wavenet_prior_takes_recordings_of_any_length(samples: int, options: CompressOptions) -> None:
    chosen = speech()
    x = signal(chosen, samples)
    content = Codec(chosen).compress(x, options)
    assert torch.equal(Codec(chosen).decompress(content), decoded(chosen, x, options))


@few
@given(data=st.data())
def test_prefixes_and_classes(ndim: int, data: st.DataObject) -> None:
    chosen = model(ndim, rates=True, classes=3)
    x = signal(chosen, *(data.draw(SIDES) for _ in range(ndim)))
    options = CompressOptions(
        codes=data.draw(st.integers(1, 3)), label=data.draw(st.one_of(st.none(), st.integers(0, 2)))
    )
    content = Codec(chosen).compress(x, options)
    header = Container(content, "a file").header
    assert (header.codes, header.label) == (options.codes, options.label)
    assert torch.equal(Codec(chosen).decompress(content), decoded(chosen, x, options))


def test_the_prior_is_used_where_it_pays_and_only_there(ndim: int) -> None:
    chosen = model(ndim, rates=True)
    x = signal(chosen, *{1: (160,), 2: (64, 48)}[ndim])
    assert coder_of(Codec(chosen).compress(x)) == "prior"
    assert coder_of(Codec(chosen).compress(x, CompressOptions(codes=1))) != "prior"


@pytest.mark.parametrize("kind", ["pixelcnn", "transformer", "wavenet"])
@few
@given(data=st.data())
def test_a_file_of_the_first_codes_comes_back_under_a_prior_that_serves_them(kind: str, data: st.DataObject) -> None:
    ndim = 1 if kind == "wavenet" else data.draw(st.integers(1, 2), label="ndim")
    chosen = model(ndim, kind, rates=True, classes=3, served_codes=(1, 2))
    x = signal(chosen, *(data.draw(st.sampled_from([64, 96, 97])) for _ in range(ndim)))
    options = CompressOptions(codes=data.draw(st.integers(1, 3)), label=data.draw(st.sampled_from([None, 1])))
    content = Codec(chosen).compress(x, options)
    assert torch.equal(Codec(chosen).decompress(content), decoded(chosen, x, options))


def test_a_prior_of_fewer_codes_costs_what_it_predicts(ndim: int) -> None:
    chosen = model(ndim, rates=True, served_codes=(2,))
    several = [signal(chosen, *{1: (640,), 2: (64, 48)}[ndim], seed=seed) for seed in range(4)]
    out = io.BytesIO()
    written = Codec(chosen).write(out, archived(several), CompressOptions(codes=2))
    assert written.coder == "prior"
    first = io.BytesIO()
    assert Codec(chosen).write(first, archived(several), CompressOptions(codes=1)).coder != "prior"
    found = [codes_of(chosen, x)[..., :2] for x in several]
    blocks = torch.cat([Blocks(tuple(codes.shape[:-1]), GRID[ndim]).cut(codes) for codes in found])
    prior, bits = chosen.exact_prior, 0.0
    assert isinstance(prior, ExactPrior)
    for k, logits in enumerate(prior.all_logits(blocks)):
        # By the whole numbers that are coded with, because they make codes that are all but impossible cheaper.
        weights = softmax_weights(logits.flatten(0, -2)).double()
        bits -= float((weights.gather(1, blocks[..., k].view(-1, 1)) / weights.sum(1, keepdim=True)).log2().sum())
    # Each segment, of one block or more, ends with a whole byte.
    assert 0.999 * bits < 8 * (written.bytes - written.overhead_bytes) < 1.001 * bits + 8 * len(blocks)


def test_a_class_that_is_told_is_foretold() -> None:
    """The class reaches the prior: the same codes are other bytes in another class."""
    chosen = model(1, rates=True, classes=3)
    x = signal(chosen, 640)
    payloads = set()
    for label in (None, 0, 1):
        content = Codec(chosen).compress(x, CompressOptions(label=label))
        assert coder_of(content) == "prior"
        payloads.add(content[-16:])
    assert len(payloads) == 3


@few
@given(data=st.data())
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_lossless_gives_the_signal_itself(likelihood: str, data: st.DataObject) -> None:
    ndim = LIKELIHOODS[likelihood][0]
    chosen = model(ndim, likelihood=likelihood)
    size = tuple(data.draw(SIDES) for _ in range(ndim))
    x = data.draw(st.sampled_from([signal(chosen, *size), signal(chosen, *size).bitwise_and(1) * 255]), label="x")
    options = CompressOptions(lossless=True)
    content = Codec(chosen).compress(x, options)
    assert torch.equal(Codec(chosen).decompress(content), x)


def test_a_lossless_file_of_an_earlier_version_is_refused_by_name() -> None:
    chosen = model(2, likelihood="mixture")
    content = Codec(chosen).compress(signal(chosen, 8, 8), CompressOptions(lossless=True))
    length = int.from_bytes(content[10:14], "little")
    body, payload = content[18 : 18 + length], content[18 + length :]
    assert content == MAGIC + pack_fields(body, deflated=False, brief=payload, version=5) + body + payload
    old = MAGIC + pack_fields(body, deflated=False, brief=payload, version=4) + body + payload
    with pytest.raises(ModelError, match="by an earlier Codeword, which computed other probabilities"):
        Codec(chosen).decompress(old)


@pytest.mark.parametrize("prior", ["uniform", "pixelcnn"])
def test_lossless_over_several_blocks_with_a_prefix_and_a_class(ndim: int, prior: str) -> None:
    chosen = model(ndim, prior, likelihood="gaussian", rates=True, classes=3)
    x = signal(chosen, *{1: (17_001,), 2: (70, 65)}[ndim])
    content = Codec(chosen).compress(x, CompressOptions(lossless=True, codes=2, label=1))
    assert torch.equal(Codec(chosen).decompress(content), x)


def test_an_archive_of_signals_of_many_sizes(ndim: int) -> None:
    chosen = model(ndim)
    several = [signal(chosen, *[n] * ndim, seed=n) for n in (1, 37, 12, 90, 5, 64)]
    for options in (CompressOptions(), CompressOptions(lossless=True)):
        out, done = io.BytesIO(), []
        progress = partial(heard, done)
        written = Codec(chosen).write(out, archived(several), options, progress=progress)
        assert written.bytes == len(out.getvalue())
        assert done[-1][0] == done[-1][1]
        found = []
        for entry in Codec(chosen).read(Container(out.getvalue(), "a file")):
            found.append((entry.entry.name, torch.cat(list(entry.blocks), -1).long()))
            assert entry.damage.blocks == []
        assert [name for name, _ in found] == list("012345")
        for (_, back), x in zip(found, several, strict=True):
            assert torch.equal(back, x if options.lossless else decoded(chosen, x))


def test_side_data_come_back_with_their_signal(ndim: int) -> None:
    chosen, out = model(ndim), io.BytesIO()
    several = archived([signal(chosen, *[n] * ndim) for n in (37, 12, 90)])
    sides = [{"icc": bytes(range(256)), "exif": b""}, {}, {"alpha": bytes(100_000)}]
    with_sides = [replace(s, side=lambda side=side: side) for s, side in zip(several, sides, strict=True)]  # type: ignore[misc]
    written = Codec(chosen).write(out, with_sides)
    assert written.bytes == len(out.getvalue())
    assert [found.side for found in Codec(chosen).read(Container(out.getvalue(), "a file"))] == sides
    damaged = bytearray(out.getvalue())
    damaged[-1000] ^= 1
    container = Container(bytes(damaged), "a file")
    found = [(f.side, f.entry.has_side, f.damage.blocks) for f in Codec(chosen).read(container, salvage=True)]
    assert found == [(sides[0], True, []), ({}, False, []), ({}, True, [])]


def no_side() -> Side:
    raise DataError("cannot be read")


def test_side_data_that_cannot_be_stored_are_errors() -> None:
    chosen = model(1)
    (one,) = archived([signal(chosen, 40)])
    too_large, too_many = {"x": bytes(MAX_SEGMENT_BYTES)}, {str(i): b"" for i in range(65)}
    for side, error, message in [
        (lambda: too_large, UsageError, "at most 16,777,216"),
        (lambda: too_many, UsageError, "cannot be stored"),
        (lambda: {"": b""}, UsageError, "cannot be stored"),
        (no_side, UnreadableSignal, "cannot be read"),
    ]:
        out = io.BytesIO()
        with pytest.raises(error, match=message):
            Codec(chosen).write(out, [replace(one, side=side)])
        assert not out.getvalue()
    with pytest.raises(UsageError, match="cannot be stored"):
        Codec(chosen).write(io.BytesIO(), [replace(one, name="x" * 5000)])


def test_a_signal_that_is_left_lies_before_the_next(ndim: int) -> None:
    chosen = model(ndim)
    several = [signal(chosen, *[n] * ndim, seed=n) for n in (90, 37)]
    out = io.BytesIO()
    Codec(chosen).write(out, archived(several))
    back = []
    for number, found in enumerate(Codec(chosen).read(Container(out.getvalue(), "a file"))):
        back = list(found.blocks) if number else []
    assert torch.equal(torch.cat(back, -1).long(), decoded(chosen, several[1]))


def test_a_recording_comes_in_blocks_of_any_length() -> None:
    chosen = model(1)
    x = signal(chosen, 700)
    out = io.BytesIO()
    Codec(chosen).write(out, [Signal("x", (700,), lambda: x.split([1, 300, 64, 335], 1))])
    assert torch.equal(Codec(chosen).decompress(out.getvalue()), decoded(chosen, x))


def ideal_bits(chosen: Model, x: Tensor, *, lossless: bool) -> float:
    """The cost of a signal of whole blocks by the parallel forms of prior and likelihood."""
    grid, tokenizer = chosen.prior.grid, chosen.tokenizer
    if not lossless:
        codes = codes_of(chosen, x)
        return -float(chosen.prior.log_prob(Blocks(tuple(codes.shape[:-1]), grid).cut(codes)).sum()) / log(2)
    size = tuple(n * tokenizer.hop for n in grid)
    blocks = Blocks(tuple(x.shape[1:]), size).cut(x.movedim(0, -1)).movedim(-1, 1)
    nats = chosen.prior.log_prob(tokenizer.encode(blocks)) + tokenizer.log_prob(blocks)
    return -float(nats.sum()) / log(2)


@pytest.mark.parametrize("lossless", [False, True])
def test_a_file_is_as_large_as_the_model_says(ndim: int, lossless: bool) -> None:
    """Within 1 % and the overhead that is stated; a segment ends at a whole word, twice that at most."""
    chosen = model(ndim, likelihood="mixture", rates=True)
    repeats = {1: (40,), 2: (16, 16)}[ndim]
    size = tuple(n * chosen.tokenizer.hop * r for n, r in zip(GRID[ndim], repeats, strict=True))
    x, out = signal(chosen, *size), io.BytesIO()
    with torch.no_grad():
        ideal = ideal_bits(chosen, x, lossless=lossless)
    written = Codec(chosen).write(out, archived([x]), CompressOptions(lossless=lossless))
    segments = prod(repeats) if ndim == 1 else prod(repeats) // 64
    assert written.overhead_bytes < 250 + 18 * segments
    content_bits = 8 * (written.bytes - written.overhead_bytes)
    assert content_bits <= ideal * 1.01 + 64 * segments
    # Of a signal's own numbers, those that the model calls all but impossible cost less than it says.
    assert lossless or (written.coder == "prior" and content_bits >= ideal * 0.99)


# Reads with other numbers of threads than those that wrote; wide enough that threads would share the work.
READ = """
import hashlib, sys, torch
from pathlib import Path
from codeword.codec import Codec, Container
from codeword.model import Model
torch.set_num_threads(int(sys.argv[1]))
for folder in sys.argv[2:]:
    codec = Codec(Model.load(folder))
    content = (Path(folder) / "x.cw").read_bytes()
    print(Container(content, "").header.coder, hashlib.sha256(codec.decompress(content).numpy().tobytes()).hexdigest())
    print(hashlib.sha256(codec.compress(torch.load(Path(folder) / "x.pt", weights_only=True))).hexdigest())
"""


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_another_process_with_other_threads_reads_it_bit_for_bit(tmp_path: Path) -> None:
    cases = [
        (model(2, rates=True), (200, 180), CompressOptions()),
        (model(2, likelihood="mixture"), (60, 50), CompressOptions(lossless=True)),
        (model(1, likelihood="decoder"), (300,), CompressOptions(lossless=True)),
        (speech(), (900,), CompressOptions()),
    ]
    folders, expected = [], []
    for number, (chosen, size, options) in enumerate(cases):
        folder = tmp_path / str(number)
        chosen.save_pretrained(folder)
        codec, x = Codec(Model.load(folder)), signal(chosen, *size)
        content = codec.compress(x, options)
        (folder / "x.cw").write_bytes(content)
        torch.save(x, folder / "x.pt")
        back = codec.decompress(content)
        expected += [f"{coder_of(content)} {digest(back.numpy().tobytes())}", digest(codec.compress(x))]
        folders.append(str(folder))
    threads = "2"
    done = subprocess.run(
        [sys.executable, "-c", READ, threads, *folders],
        env=os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:-1] == expected


def test_another_model_does_not_read_it(ndim: int) -> None:
    x = signal(model(ndim), *[20] * ndim)
    with pytest.raises(ModelError, match="give the model that it was made with"):
        Codec(model(ndim, "uniform")).decompress(Codec(model(ndim)).compress(x))


def test_options_that_the_model_does_not_support_are_errors(ndim: int) -> None:
    one_rate, several_rates = Codec(model(ndim)), Codec(model(ndim, rates=True, classes=3))
    x = signal(model(ndim), *[20] * ndim)
    cases = [
        (one_rate, CompressOptions(codes=1), "decodes only all"),
        (several_rates, CompressOptions(codes=4), "is 1 to 3, not 4"),
        (several_rates, CompressOptions(codes=0), "is 1 to 3, not 0"),
        (one_rate, CompressOptions(label=0), "has 0 classes"),
        (several_rates, CompressOptions(label=3), "has 3 classes"),
        (several_rates, CompressOptions(label=-1), "has 3 classes"),
    ]
    for codec, options, message in cases:
        with pytest.raises((UsageError, UnsupportedError), match=message):
            codec.compress(x, options)
    with pytest.raises(UsageError, match="without values"):
        one_rate.compress(x[:, :0])
    with pytest.raises(UnsupportedError, match="lossless needs"):
        Codec(speech()).compress(signal(speech(), 40), CompressOptions(lossless=True))
