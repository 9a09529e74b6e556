"""Signals, codes, labels and sizes are taken as what they are, or refused with the conversion."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny.codec_models import model as tiny_model
from tiny.codec_models import speech
from torch import Tensor

import codeword
from codeword.codec import Codec, CompressOptions
from codeword.errors import CodewordError, UsageError
from codeword.model import Model
from codeword.priors import Sampler, walk

SIZE = {1: (42,), 2: (12, 10)}
Entry = Callable[[Model, Any], Any]
Change = Callable[[Tensor, int], Any]

BATCHES: dict[str, Entry] = {
    "encode": lambda model, x: model.tokenizer.encode(x).tolist(),
    "analyse": lambda model, x: model.tokenizer.analyse(x).quantized.codes.tolist(),
    "log_prob": lambda model, x: model.tokenizer.log_prob(x).tolist(),
}
ONE: dict[str, Entry] = {
    "codeword.encode": lambda model, x: codeword.encode(model, x).tolist(),
    "compress": lambda model, x: Codec(model).compress(x),
    "compress exactly": lambda model, x: Codec(model).compress(x, CompressOptions(lossless=True)),
}
ACCEPTED: dict[str, Change] = {
    "int64": lambda x, _: x.long(),
    "int16": lambda x, _: x.short(),
    "uint16": lambda x, _: x.to(torch.uint16),
    "strided": lambda x, _: x.repeat_interleave(2, -1)[..., ::2],
    "array": lambda x, _: x.numpy(),
    "array of uint32, high byte first": lambda x, _: x.numpy().astype(">u4"),
    "read-only array": lambda x, _: np.frombuffer(x.numpy().tobytes(), np.uint8).reshape(x.shape),
    "reversed array": lambda x, _: x.flip(-1).numpy()[..., ::-1],
}
FOREIGN: dict[str, Change] = {
    "floats from 0 to 1": lambda x, _: x / 255,
    "floats from 0 to 255": lambda x, _: x.float(),
    "floats from -1 to 1": lambda x, _: x / 127.5 - 1,
    "half precision": lambda x, _: x.half(),
    "channels last": lambda x, channels: x.movedim(channels, -1),
    "array of floats, channels last": lambda x, channels: (x / 255).movedim(channels, -1).numpy(),
    "list": lambda x, _: x.tolist(),
    "list of floats": lambda x, _: (x / 255).tolist(),
    "16 bits": lambda x, _: (x.long() * 257).to(torch.uint16),
}
"""Foreign forms of a signal whose conversion the message gives."""
HOPELESS: dict[str, Change] = {
    "negative": lambda x, _: x.long() - 200,
    "too large": lambda x, _: x.int() + 1,
    "beyond 32 bits": lambda x, _: x.long() << 40,
    "not a number": lambda x, _: x.float() * float("nan"),
    "large floats": lambda x, _: x.float() * 1000,
    "complex": lambda x, _: x * 1j,
    "empty": lambda x, _: x[..., :0],
    "no signals": lambda x, _: x[None][:0],
    "too many channels": lambda x, channels: torch.cat([x, x], channels),
    "too many axes": lambda x, _: x[None, None, None],
    "number": lambda x, _: 3,
    "text": lambda x, _: "photo.jpg",
    "nothing": lambda x, _: None,
    "array of text": lambda x, _: np.array(["a"]),
    "ragged list": lambda x, _: [[1], [1, 2]],
}


@pytest.fixture
def model(ndim: int) -> Model:
    return tiny_model(ndim, rates=True, classes=3)


@pytest.fixture
def x(model: Model, ndim: int) -> Tensor:
    """Signals (2, C, *S) of all values."""
    shape = (2, model.tokenizer.config.channels, *SIZE[ndim])
    signals = torch.randint(256, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    signals[..., 0], signals[..., 1] = 0, 255
    return signals


def refusal(entry: Callable[[], Any]) -> str:
    with pytest.raises(UsageError) as caught:
        entry()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def converted(message: str, **given: Any) -> Any:
    """The value of the expression that a message gives."""
    found = re.search(r": use (.+)\.$", message)
    assert found, message
    return eval(found[1], {"torch": torch, "np": np, "codeword": codeword} | given)


@pytest.mark.parametrize("name", [*BATCHES, *ONE])
def test_every_entry_of_signals_takes_them_right_or_not_at_all(name: str, model: Model, x: Tensor) -> None:
    batched = name in BATCHES
    entry, right = (BATCHES | ONE)[name], x if batched else x[0]
    expected, channels = entry(model, right), int(batched)
    for change in ACCEPTED.values():
        assert entry(model, change(right, channels)) == expected
    foreign = FOREIGN | {"batch axis": (lambda x, _: x[:1]) if not batched else lambda x, _: x[0]}
    for form, change in foreign.items():
        given = change(x if form == "batch axis" else right, channels)
        message = refusal(lambda given=given: entry(model, given))  # type: ignore[misc]
        assert "expected integers of shape (" in message
        found = converted(message, x=given)
        assert torch.equal(found.long(), (right[:1] if form == "batch axis" and batched else right).long())
        entry(model, found)
    for change in HOPELESS.values():
        message = refusal(lambda change=change: entry(model, change(right, channels)))  # type: ignore[misc]
        assert "give such a tensor" in message


def test_truth_values_become_the_smallest_and_the_largest_value(model: Model, x: Tensor) -> None:
    mask = x > 100
    message = refusal(lambda: model.tokenizer.encode(mask))
    assert "a tensor of bool of shape" in message
    assert converted(message, x=mask).unique().tolist() == [0, 255]


def test_a_message_says_what_came_what_is_expected_and_what_to_write() -> None:
    model, image = tiny_model(2, rates=True, classes=3), torch.linspace(0, 1, 3 * 32 * 32).view(3, 32, 32)
    assert refusal(lambda: model.tokenizer.encode(image)) == (
        "x is a tensor of float32 of shape (3, 32, 32) with values in [0, 1]; expected integers of shape "
        "(B, 3, S1, S2) in [0, 256): use (255 * x).round().to(torch.uint8)[None]."
    )


def test_a_picture_of_pillow_is_converted() -> None:
    model = tiny_model(2, rates=True, classes=3)
    pixels = np.random.default_rng(0).integers(0, 256, (12, 10, 3), np.uint8)
    picture = Image.fromarray(pixels)
    found = converted(refusal(lambda: codeword.encode(model, picture)), x=picture)  # type: ignore[arg-type]
    assert np.array_equal(found.numpy(), pixels.transpose(2, 0, 1))


def test_a_waveform_is_quantised_as_files_are() -> None:
    model = speech()
    samples = (torch.randn(500, generator=torch.Generator().manual_seed(0)) * 4000).round().clamp(-32768, 32767)
    wave, pcm = samples / 32768, samples.short()
    for given in (wave, wave[None], wave.numpy(), pcm, pcm.numpy(), samples):
        found = converted(refusal(lambda given=given: model.tokenizer.encode(given)), x=given)  # type: ignore[misc]
        assert torch.equal(found, samples.long()[None, None] + 32768)
        model.tokenizer.encode(found)
    mu_law = tiny_model(1, likelihood="decoder").tokenizer.config.model_copy(update={"sample_rate": 8000})
    with pytest.raises(UsageError, match=re.escape("quantise(x, 256)[None]")):
        codeword.arguments.check_signals(wave[None], mu_law)


CODES: dict[str, Entry] = {
    "decode": lambda model, codes: model.tokenizer.decode(codes).tolist(),
    "features": lambda model, codes: model.tokenizer.features(codes).tolist(),
    "log_prob": lambda model, codes: model.prior.log_prob(codes).tolist(),
    "codeword.decode": lambda model, codes: codeword.decode(model, codes, size=_size(model)).tolist(),
}


def _size(model: Model) -> tuple[int, ...]:
    return SIZE[model.tokenizer.config.ndim]


@pytest.mark.parametrize("name", CODES)
def test_every_entry_of_codes_takes_them_right_or_not_at_all(name: str, model: Model, x: Tensor) -> None:
    """The codebooks have 8, 8 and 4 codewords."""
    batched, entry = name != "codeword.decode", CODES[name]
    codes = model.tokenizer.encode(x)
    codes = codes if batched else codes[0]
    expected = entry(model, codes)
    for right in (codes.int(), codes.to(torch.uint8), codes.numpy(), codes.numpy().astype(np.uint16)):
        assert entry(model, right) == expected
    alone = codes[0] if batched else codes[None]
    for foreign, meant in ((codes.float(), codes), (codes.tolist(), codes), (alone, codes[:1] if batched else codes)):
        message = refusal(lambda foreign=foreign: entry(model, foreign))  # type: ignore[misc]
        assert torch.equal(converted(message, codes=foreign), meant)
    too_large = codes.clone()
    too_large.view(-1, 3)[-1, 2] = 4
    for wrong in (
        too_large,
        codes - 8,
        codes + 0.5,
        codes > 3,
        torch.cat([codes, codes], -1),
        codes[..., :0],
        codes[:0],
        codes[..., 0],
        codes[None, None, None],
        None,
        "codes.npz",
    ):
        message = refusal(lambda wrong=wrong: entry(model, wrong))  # type: ignore[misc]
        assert "expected integers of shape (" in message
        assert "below [8, 8, 4]" in message or "in [0, 8)" in message


def test_leading_codes_decode_where_the_quantizer_serves_them(ndim: int, model: Model, x: Tensor) -> None:
    codes = model.tokenizer.encode(x)
    assert model.tokenizer.decode(codes[..., :2]).shape == model.tokenizer.decode(codes).shape
    with pytest.raises(UsageError, match="expected integers of shape"):
        model.prior.log_prob(codes[..., :2])
    product = tiny_model(ndim)
    with pytest.raises(UsageError, match="expected integers of shape"):
        product.tokenizer.decode(product.tokenizer.encode(x)[..., :1])


def test_decoding_to_another_size_than_that_of_the_codes_is_refused(ndim: int, model: Model, x: Tensor) -> None:
    codes, right = codeword.encode(model, x[0]), SIZE[ndim]
    assert codeword.decode(model, codes, size=list(right)).shape == x[0].shape
    for size in (tuple(2 * n for n in right), tuple(n - 4 for n in right), (1,) * ndim):
        with pytest.raises(UsageError, match="give the size of the encoded signal"):
            codeword.decode(model, codes, size=size)
        with pytest.raises(UsageError, match="give the size of the encoded signal"):
            model.tokenizer.decode(codes[None], size=size)
    for wrong in (7, "12", None, (), right + right, tuple(-n for n in right), tuple(map(float, right)), (True,) * ndim):
        with pytest.raises(UsageError, match="expected whole numbers above 0, one for each axis"):
            codeword.decode(model, codes, size=wrong)  # type: ignore[arg-type]


def test_labels_are_numbers_of_classes(model: Model, x: Tensor) -> None:
    tokenizer, prior = model.tokenizer, model.prior
    codes = tokenizer.encode(x)
    blocks = torch.zeros(2, *prior.grid, 3, dtype=torch.int64)
    entries: dict[str, Callable[[Any], Any]] = {
        "decode": lambda label: tokenizer.decode(codes, label),
        "features": lambda label: tokenizer.features(codes, label),
        "analyse": lambda label: tokenizer.analyse(x, label).features,
        "log_prob": lambda label: tokenizer.log_prob(x, label),
        "prior": lambda label: prior.log_prob(blocks, label),
        "walk": lambda label: walk(prior, 2, Sampler(temperature=0), label=label),
    }
    for entry in entries.values():
        # 3 is the null class.
        for right in (torch.tensor([0, 3]), torch.tensor([0, 3], dtype=torch.int16), np.array([0, 3])):
            assert torch.equal(entry(right), entry(torch.tensor([0, 3])))
        assert torch.equal(entry(converted(refusal(lambda: entry(1)), label=1)), entry(torch.tensor([1, 1])))  # noqa: B023
        for wrong in (torch.tensor([0, 4]), torch.tensor([-1, 0]), torch.tensor([0]), torch.tensor([0.5, 1]), 9, "a"):
            assert "expected integers of shape (2,) in [0, 4)" in refusal(lambda: entry(wrong))  # noqa: B023


def test_the_class_of_one_signal_is_a_number_that_the_model_has(ndim: int, model: Model, x: Tensor) -> None:
    codes = codeword.encode(model, x[0])
    codec = Codec(model)
    codeword.decode(model, codes, size=SIZE[ndim], label=2)
    for label in (-1, 3, "ann", 1.0, True):
        with pytest.raises(UsageError, match="there is no class"):
            codeword.decode(model, codes, size=SIZE[ndim], label=label)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="there is no class"):
            codec.compress(x[0], CompressOptions(label=label))  # type: ignore[arg-type]
    for number in ("2", 0, 4, 1.5):
        with pytest.raises(UsageError, match="The number of codes to keep"):
            codec.compress(x[0], CompressOptions(codes=number))  # type: ignore[arg-type]
    without = tiny_model(ndim)
    with pytest.raises(UsageError, match="has 0 classes"):
        codeword.decode(without, codeword.encode(without, x[0]), size=SIZE[ndim], label=0)


def test_a_walk_takes_whole_numbers_only(model: Model) -> None:
    for batch in (0, -1, 1.5, "2", None):
        with pytest.raises(UsageError, match="batch is"):
            walk(model.prior, batch, Sampler())  # type: ignore[arg-type]
    for grid in (5, (0,) * len(model.prior.grid), (1.5,) * len(model.prior.grid), ()):
        with pytest.raises(CodewordError, match="grid is"):
            walk(model.prior, 1, Sampler(), grid=grid)  # type: ignore[arg-type]
