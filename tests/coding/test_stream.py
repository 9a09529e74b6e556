"""Streams: whatever the blocks, the codes and the samples are those of the whole signal."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny.tokenizers import SPEECH, TRUNKS

from codeword.coding.stream import block_samples, decode_stream, encode_stream
from codeword.config import (
    FiniteScalarQuantizerConfig,
    GaussianConfig,
    LogMelConfig,
    SamplesConfig,
    SpectrogramConfig,
    TokenizerConfig,
    TrunkConfig,
    VectorQuantizerConfig,
    WaveNetDecoderConfig,
)
from codeword.errors import UnsupportedError, UsageError
from codeword.tokenizer import Tokenizer


def on_samples(trunk: TrunkConfig) -> TokenizerConfig:
    return TokenizerConfig(
        ndim=1,
        channels=1,
        values=65536,
        trunk=trunk,
        quantizer=VectorQuantizerConfig(codebook_sizes=(64,), dim=4),
        likelihood=GaussianConfig(),
    )


CONFIGS = [*map(on_samples, TRUNKS), SPEECH]


def build(config: TokenizerConfig) -> Tokenizer:
    """Untrained, but with a codebook and weights at which every cell in reach leaves a trace."""
    torch.manual_seed(0)
    tokenizer = Tokenizer(config)
    tokenizer(torch.randint(config.values, (4, 1, 40 * tokenizer.hop)))
    return tokenizer.eval()


def signal(samples: int, values: int = 65536) -> torch.Tensor:
    return torch.randint(values, (1, samples), generator=torch.Generator().manual_seed(samples))


def cut(x: torch.Tensor, at: list[int], axis: int) -> list[torch.Tensor]:
    """`x` in pieces that end at these places; some may be empty."""
    places = [0, *sorted(min(place, x.shape[axis]) for place in at), x.shape[axis]]
    return [x.narrow(axis, start, stop - start) for start, stop in pairwise(places)]


@pytest.fixture(scope="module", params=CONFIGS, ids=lambda c: f"{c.frontend.kind}-{c.trunk.kind}{c.trunk.strides}")
def streamed(request: pytest.FixtureRequest) -> Tokenizer:
    return build(request.param)


@given(data=st.data())
def test_a_stream_is_the_whole_signal(streamed: Tokenizer, data: st.DataObject) -> None:
    hop = streamed.hop
    near = st.sampled_from([1, hop - 1, hop, hop + 1, 10 * hop, 10 * hop + 1])
    samples = max(1, data.draw(near | st.integers(1, 120 * hop)))
    window_samples = data.draw(st.integers(1, 30 * hop))
    cuts = data.draw(st.lists(st.integers(0, samples), max_size=6))
    x = signal(samples, streamed.config.values)
    label = data.draw(st.sampled_from([None, *range(streamed.classes)]))
    labels = None if label is None else torch.tensor([label])
    whole = streamed.encode(x[None])[0]
    codes = list(encode_stream(streamed, cut(x, cuts, 1), window_samples=window_samples))
    assert torch.equal(torch.cat(codes), whole)
    pieces = cut(whole, [place // hop for place in cuts], 0)
    decoded = list(decode_stream(streamed, pieces, label=label, size=samples, window_samples=window_samples))
    expected = streamed.decode(whole[None], labels, size=(samples,))[0]
    assert int((torch.cat(decoded, 1) - expected).abs().max()) <= 1
    sizes = {part.shape[1] for part in decoded[:-1]}
    assert sizes <= {block_samples(streamed, window_samples)}
    prefix = [piece[:, :1] for piece in pieces] if len(streamed.quantizer.served_codes) > 1 else pieces
    one = torch.cat(list(decode_stream(streamed, prefix, window_samples=window_samples)), 1)
    assert one.shape[1] == len(whole) * hop


def test_a_stream_takes_single_samples_and_one_large_block(streamed: Tokenizer) -> None:
    x = signal(7 * streamed.hop + 1)
    whole = streamed.encode(x[None])[0]
    for blocks in (x.split(1, 1), [x], [x[:, :0], x, x[:, :0]]):
        assert torch.equal(torch.cat(list(encode_stream(streamed, blocks, window_samples=1))), whole)


def test_synthesised_phases_are_those_of_the_whole() -> None:
    likelihood = SpectrogramConfig(n_fft=64, hop=16, mels=8)
    tokenizer = build(SPEECH.model_copy(update={"head": SamplesConfig(), "likelihood": likelihood}))
    x = signal(150 * tokenizer.hop + 5)
    codes = tokenizer.encode(x[None])
    whole = tokenizer.decode(codes, size=(x.shape[1],))[0]
    for window_samples in (1, 40 * tokenizer.hop, 1000 * tokenizer.hop):
        stream = decode_stream(tokenizer, codes[0].split(7), size=x.shape[1], window_samples=window_samples)
        parts = list(stream)
        assert {part.shape[1] for part in parts[:-1]} <= {block_samples(tokenizer, window_samples)}
        # A few of 65,536 levels, because Griffin-Lim amplifies rounding.
        assert int((torch.cat(parts, 1) - whole).abs().max()) <= 8


def test_no_samples_have_no_codes_and_no_codes_no_samples(streamed: Tokenizer) -> None:
    assert list(encode_stream(streamed, [])) == []
    assert list(encode_stream(streamed, [torch.zeros(1, 0, dtype=torch.int64)])) == []
    assert list(decode_stream(streamed, [])) == []


def test_blocks_are_read_when_they_are_needed() -> None:
    """Memory is bounded because the stream never runs ahead of its windows."""
    tokenizer = build(CONFIGS[0])
    read = 0

    def blocks() -> object:
        nonlocal read
        for _ in range(10_000):
            read += 1
            yield signal(tokenizer.hop)

    stream = encode_stream(tokenizer, blocks(), window_samples=10 * tokenizer.hop)  # type: ignore[arg-type]
    next(stream)
    assert read < 40
    next(stream)
    assert read < 50


def test_what_cannot_stream_says_so() -> None:
    flat = TokenizerConfig(quantizer=FiniteScalarQuantizerConfig(channel_levels=(4, 4), dim=4))
    with pytest.raises(UnsupportedError, match="one axis"):
        encode_stream(Tokenizer(flat), [])
    with pytest.raises(UnsupportedError, match="one axis"):
        decode_stream(Tokenizer(flat), [])
    normalised = LogMelConfig(n_fft=64, hop=16, mels=8, normalise=True)
    with pytest.raises(UnsupportedError, match="normalises each recording as a whole"):
        encode_stream(Tokenizer(SPEECH.model_copy(update={"frontend": normalised})), [])
    drawn = on_samples(TRUNKS[0]).model_copy(
        update={
            "values": 256,
            "frontend": SamplesConfig(),
            "likelihood": WaveNetDecoderConfig(dilations=(1, 2), width=4, skip_width=4, features=4),
        }
    )
    with pytest.raises(UnsupportedError, match="cannot decode a stream"):
        decode_stream(Tokenizer(drawn), [])
    x = signal(50, 256)
    tokenizer = Tokenizer(drawn).eval()
    assert torch.equal(torch.cat(list(encode_stream(tokenizer, [x]))), tokenizer.encode(x[None])[0])


def test_codes_that_end_too_early_are_refused() -> None:
    tokenizer = build(CONFIGS[0])
    codes = tokenizer.encode(signal(5 * tokenizer.hop)[None])[0]
    with pytest.raises(UsageError, match="end after 30 of 31 samples"):
        list(decode_stream(tokenizer, [codes], size=31))
