"""Laws of the tokenizer, at both ranks."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny.tokenizers import SPEECH, waveform

from codeword.config import (
    ConvNeXtTrunkConfig,
    ConvTrunkConfig,
    FiniteScalarQuantizerConfig,
    GaussianConfig,
    LogMelConfig,
    ResidualTrunkConfig,
    TokenizerConfig,
    TrunkConfig,
)
from codeword.tokenizer import Tokenizer

TRUNKS: list[TrunkConfig] = [
    ConvTrunkConfig(width=8, residual_width=4, residual_blocks=1, strides=(2, 3)),
    ConvTrunkConfig(width=8, residual_width=4, residual_blocks=0, strides=(4,)),
    ResidualTrunkConfig(widths=(4, 8), encoder_blocks=(1, 1), decoder_blocks=(1, 0), strides=(2,)),
    ResidualTrunkConfig(widths=(4,), encoder_blocks=(1,), decoder_blocks=(1,), strides=()),
    ResidualTrunkConfig(widths=(4, 8), encoder_blocks=(1, 0), decoder_blocks=(0, 1), strides=(3, 2)),
    ConvNeXtTrunkConfig(width=8, hidden=8, encoder_blocks=1, decoder_blocks=1, strides=(2, 3)),
]


def signals(batch: int, size: tuple[int, ...], channels: int = 3) -> torch.Tensor:
    return torch.randint(256, (batch, channels, *size), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("trunk", TRUNKS, ids=lambda t: f"{t.kind}{t.strides}")
@given(data=st.data())
def test_any_size_comes_back_as_it_was(trunk: TrunkConfig, data: st.DataObject) -> None:
    ndim = data.draw(st.sampled_from([1, 2]))
    size = tuple(data.draw(st.integers(1, 17)) for _ in range(ndim))
    tokenizer = Tokenizer(
        TokenizerConfig(
            ndim=ndim,
            channels=2,
            trunk=trunk,
            quantizer=FiniteScalarQuantizerConfig(channel_levels=(4, 4), dim=4),
            likelihood=GaussianConfig(),
        )
    ).eval()
    x = signals(2, size, channels=2)
    codes = tokenizer.encode(x)
    assert codes.shape == (2, *tokenizer.grid(size), 1)
    decoded = tokenizer.decode(codes, size=size)
    assert decoded.shape == x.shape
    assert decoded.dtype == torch.int64
    assert bool(torch.isfinite(tokenizer.log_prob(x)).all())


def test_decoding_alone_gives_a_whole_number_of_hops(tokenizer: Tokenizer, size: tuple[int, ...]) -> None:
    codes = tokenizer.eval().encode(signals(2, size))
    assert tokenizer.decode(codes).shape[2:] == tuple(n * tokenizer.hop for n in codes.shape[1:-1])


def test_training_and_measuring_see_the_same_codes(tokenizer: Tokenizer, size: tuple[int, ...]) -> None:
    x = signals(2, size)
    tokenizer(x)
    tokenizer.eval()
    analysis = tokenizer.analyse(x)
    assert torch.equal(analysis.quantized.codes, tokenizer.encode(x))
    features = tokenizer.features(tokenizer.encode(x), size=size)
    torch.testing.assert_close(analysis.features, features, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(tokenizer.likelihood.log_prob(features, x), tokenizer.log_prob(x))


def test_every_parameter_learns(tokenizer: Tokenizer, size: tuple[int, ...]) -> None:
    tokenizer(signals(4, size)).loss.backward()
    still = [name for name, p in tokenizer.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # Where a residual branch ends in zero gradient at first there would be a name here.
    assert still == []


def test_bits_do_not_depend_on_the_batch(tokenizer: Tokenizer, size: tuple[int, ...]) -> None:
    x = signals(6, size)
    tokenizer(x)
    tokenizer.eval()
    whole = tokenizer.log_prob(x)
    parts = torch.cat([tokenizer.log_prob(part) for part in x.split(2)])
    torch.testing.assert_close(whole, parts, atol=1e-2, rtol=1e-4)


def test_a_few_steps_learn_a_signal(tokenizer: Tokenizer, size: tuple[int, ...]) -> None:
    x = signals(8, size)[:, :, :1].expand(8, 3, *size).contiguous() if len(size) == 1 else signals(8, size)
    optimizer = torch.optim.Adam(tokenizer.parameters(), lr=3e-3)
    losses = []
    for step in range(60):
        optimizer.zero_grad()
        loss = tokenizer(x, generator=torch.Generator().manual_seed(step)).loss
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert min(losses[-5:]) < losses[0] * 0.95


@pytest.fixture
def speech_tokenizer() -> Tokenizer:
    torch.manual_seed(0)
    return Tokenizer(SPEECH)


@given(samples=st.one_of(st.integers(1, 200), st.sampled_from([31, 32, 33, 64, 97, 641])))
def test_a_recording_of_any_length_comes_back_as_long_as_it_was(samples: int) -> None:
    tokenizer = Tokenizer(SPEECH).eval()
    x = waveform(2, samples)
    codes = tokenizer.encode(x)
    assert codes.shape == (2, -(-samples // 32), 3)
    for k in (1, 2, 3):
        decoded = tokenizer.decode(codes[..., :k], torch.tensor([0, 2]), size=(samples,))
        assert decoded.shape == x.shape
        assert int(decoded.min()) >= 0
        assert int(decoded.max()) < 65536


def test_every_parameter_of_a_speech_tokenizer_learns(speech_tokenizer: Tokenizer) -> None:
    speech_tokenizer(waveform(4, 320), torch.tensor([0, 1, 2, 0])).loss.backward()
    still = [n for n, p in speech_tokenizer.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


def test_the_class_told_changes_the_signal_and_never_the_codes(speech_tokenizer: Tokenizer) -> None:
    x = waveform(3, 320)
    speech_tokenizer(x, torch.tensor([0, 1, 2]))
    speech_tokenizer.eval()
    codes = speech_tokenizer.encode(x)
    ann, bob = (speech_tokenizer.features(codes, torch.full((3,), label)) for label in (0, 1))
    unseen, unconditional = speech_tokenizer.features(codes, torch.full((3,), 2)), speech_tokenizer.features(codes)
    assert not torch.allclose(ann, bob)
    torch.testing.assert_close(unseen, unconditional)
    assert torch.equal(speech_tokenizer.analyse(x, torch.tensor([0, 1, 2])).quantized.codes, codes)


def test_silence_is_coded_and_decoded_without_a_nan() -> None:
    for normalise in (False, True):
        frontend = LogMelConfig(n_fft=64, hop=16, mels=8, normalise=normalise)
        tokenizer = Tokenizer(SPEECH.model_copy(update={"frontend": frontend}))
        silence = torch.full((2, 1, 320), 32768)
        result = tokenizer(silence)
        assert bool(result.loss.isfinite())
        result.loss.backward()
        assert all(bool(p.grad.isfinite().all()) for p in tokenizer.parameters() if p.grad is not None)


def test_a_saved_speech_tokenizer_comes_back_equal(speech_tokenizer: Tokenizer, tmp_path: Path) -> None:
    x = waveform(2, 500)
    speech_tokenizer(x)
    speech_tokenizer.eval().save_pretrained(tmp_path)
    again = Tokenizer.from_pretrained(tmp_path)
    assert again.config == SPEECH
    codes = speech_tokenizer.encode(x)
    assert torch.equal(again.encode(x), codes)
    assert torch.equal(again.decode(codes, size=(500,)), speech_tokenizer.decode(codes, size=(500,)))
