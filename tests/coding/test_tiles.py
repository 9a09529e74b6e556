"""Tiles: whatever their size, the codes and the pixels are those of the whole signal."""

import hashlib
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny.golden import GOLDEN
from tiny.tokenizers import SPEECH, TRUNKS
from torch import Tensor, nn

from codeword.coding import decode_signal, encode_signal
from codeword.coding.tiles import decode_tiles, encode_tiles
from codeword.config import (
    CategoricalConfig,
    Cifar10Config,
    ConvTrunkConfig,
    FiniteScalarQuantizerConfig,
    InterleavedConfig,
    LikelihoodConfig,
    LogisticMixtureConfig,
    ResidualQuantizerConfig,
    SamplesConfig,
    SpectrogramConfig,
    TokenizerConfig,
    TrunkConfig,
    VectorQuantizerConfig,
    WaveNetDecoderConfig,
)
from codeword.data.cifar10 import Cifar10
from codeword.errors import UnsupportedError, UsageError
from codeword.media import MEDIA
from codeword.media.images import read_image, write_image
from codeword.media.mosaic import mosaic
from codeword.nn.conv import reach
from codeword.nn.trunk import build_trunk
from codeword.tokenizer import Tokenizer

SMALL = ConvTrunkConfig(width=4, residual_width=4, residual_blocks=1)


def build(config: TokenizerConfig) -> Tokenizer:
    """Untrained, but with a codebook and weights at which every cell in reach leaves a trace."""
    torch.manual_seed(0)
    tokenizer = Tokenizer(config)
    for part in tokenizer.modules():
        if isinstance(part, nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d | nn.ConvTranspose2d):
            part.weight.data *= 2
    size = {1: (40,), 2: (6, 6)}[config.ndim]
    tokenizer(torch.randint(config.values, (4, config.channels, *(n * tokenizer.hop for n in size))))
    return tokenizer.eval()


@cache
def plain(ndim: int, trunk: TrunkConfig) -> Tokenizer:
    quantizer = VectorQuantizerConfig(codebook_sizes=(64,), dim=4)
    return build(TokenizerConfig(ndim=ndim, channels=2, trunk=trunk, quantizer=quantizer))  # type: ignore[arg-type]


def signal(size: tuple[int, ...], channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(sum(size))
    return torch.randint(256, (channels, *size), dtype=torch.uint8, generator=generator)


def assert_same_codes(tokenizer: Tokenizer, x: Tensor, codes: Tensor, whole: Tensor) -> None:
    """Equal, or where they are not, both codewords are as near to the vector as float32 can tell."""
    seen: list[Tensor] = []
    hook = tokenizer.encoder.register_forward_hook(lambda *pass_: seen.append(pass_[2]))
    tokenizer.encode(x[None])
    hook.remove()
    vectors = seen[0][0].movedim(0, -1)
    ours, theirs = ((vectors - tokenizer.quantizer.decode(c)).norm(dim=-1) for c in (codes, whole))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert int((codes != whole).sum()) <= 1


@pytest.mark.parametrize("ndim", [1, 2], ids=["1-D", "2-D"])  # A fixture would be made once for all examples.
@pytest.mark.parametrize("trunk", TRUNKS, ids=lambda t: f"{t.kind}{t.strides}")
@given(data=st.data())
def test_tiles_are_the_whole_signal(ndim: int, trunk: TrunkConfig, data: st.DataObject) -> None:
    tokenizer = plain(ndim, trunk)
    hop = tokenizer.hop
    # One axis is long enough for windows that do not reach both of its ends.
    long = data.draw(st.integers(1, {1: 90, 2: 50}[ndim] * hop))
    near = st.sampled_from([1, 13, hop, 3 * hop + 1])
    size = [data.draw(near | st.integers(1, 40)) for _ in range(ndim)]
    size[data.draw(st.integers(0, ndim - 1))] = long
    tile = data.draw(st.integers(1 + long // 6, 2 * hop + long))
    x = signal(tuple(size), channels=2)
    whole = tokenizer.encode(x[None])[0]
    codes = encode_tiles(tokenizer, x, tile=tile)
    assert_same_codes(tokenizer, x, codes, whole)
    decoded = decode_tiles(tokenizer, whole, size=tuple(size), tile=tile)
    expected = tokenizer.decode(whole[None], size=tuple(size))[0]
    assert decoded.dtype == torch.uint8
    assert decoded.shape == x.shape
    assert int((decoded - expected).abs().max()) <= 1


@pytest.mark.parametrize("trunk", TRUNKS, ids=lambda t: f"{t.kind}{t.strides}")
def test_nothing_beyond_its_reach_touches_a_place(ndim: int, trunk: TrunkConfig) -> None:
    """A NaN spreads to every place that it can reach, even through a very small weight."""
    hop = plain(ndim, trunk).hop
    encoder, decoder = build_trunk(trunk, ndim=ndim, channels=1, dim=4, features=1)
    cells, other, decoded = 24, (8,) * (ndim - 1), torch.zeros(1, 4)
    for place in (0, 11, 23):
        vectors = torch.zeros(1, 4, *other, cells)
        vectors[..., place] = torch.nan
        features = decoder(vectors, decoded)
        seen = features.isnan().flatten(0, -2).any(0).nonzero() / hop
        assert (seen - place).abs().max() <= reach(decoder) + 1e-5  # Of thirds, only their rounding.
        values = torch.zeros(1, 1, *(n * hop for n in other), cells * hop)
        values[..., place * hop] = torch.nan
        seen = encoder(values).isnan().flatten(0, -2).any(0).nonzero() * hop
        assert abs(seen - place * hop).max() <= reach(encoder)


def test_every_kind_of_trunk_is_tried() -> None:
    kinds = {kind.model_fields["kind"].default for kind in get_args(get_args(TrunkConfig)[0])}
    # Without a trunk a place depends on itself alone; tests/media/test_tokens.py tries that.
    assert {trunk.kind for trunk in TRUNKS} == kinds - {"identity"}


@pytest.mark.parametrize(
    "likelihood",
    [CategoricalConfig(), LogisticMixtureConfig(components=2), InterleavedConfig(width=4, hidden=4, blocks=1)],
)
def test_told_classes_and_fewer_codes_reach_every_tile(ndim: int, likelihood: LikelihoodConfig) -> None:
    quantizer = ResidualQuantizerConfig(codebook_sizes=(16, 16), dim=8, lookup_dim=4, served_codes=(1,))
    config = TokenizerConfig(
        ndim=ndim,  # type: ignore[arg-type]
        trunk=SMALL,
        quantizer=quantizer,
        likelihood=likelihood,
        conditional=True,
        classes=("cat", "dog"),
    )
    tokenizer, size = build(config), {1: (211,), 2: (211, 7)}[ndim]
    codes = tokenizer.encode(signal(size)[None])[0]
    decoded = []
    for label, count in ((None, 2), (1, 2), (1, 1)):
        labels = None if label is None else torch.tensor([label])
        expected = tokenizer.decode(codes[None, ..., :count], labels, size=size)[0]
        decoded.append(decode_tiles(tokenizer, codes[..., :count], size=size, label=label, tile=16))
        assert int((decoded[-1] - expected).abs().max()) <= 1
    assert not torch.equal(decoded[0], decoded[1])
    assert not torch.equal(decoded[1], decoded[2])


def test_wide_values_come_back_whole() -> None:
    tokenizer = build(TokenizerConfig(ndim=1, values=65536, trunk=SMALL, quantizer=VectorQuantizerConfig(dim=4)))
    x = torch.randint(65536, (3, 200), generator=torch.Generator().manual_seed(0))
    codes = encode_tiles(tokenizer, x, tile=16)
    decoded = decode_tiles(tokenizer, codes, size=(200,), tile=16)
    assert int((decoded - tokenizer.decode(codes[None], size=(200,))[0]).abs().max()) <= 1
    assert int(decoded.max()) > 255


def test_a_signal_of_one_tile_runs_as_a_whole(tokenizer: Tokenizer, size: tuple[int, ...]) -> None:
    x = signal(size)
    codes = encode_tiles(tokenizer.eval(), x, tile=24)
    assert torch.equal(codes, tokenizer.encode(x[None])[0])
    whole = tokenizer.decode(codes[None], size=size)[0]
    assert torch.equal(decode_tiles(tokenizer, codes, size=size, tile=24).long(), whole)


def test_networks_see_windows_of_one_shape_and_no_more_than_a_tile_and_its_context() -> None:
    tokenizer = plain(2, SMALL)
    seen: list[tuple[int, ...]] = []
    for part in (tokenizer.encoder, tokenizer.decoder):
        part.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape[2:])))
    size, tile = (201, 300), 40
    codes = encode_tiles(tokenizer, signal(size, channels=2), tile=tile)
    context = 2 * (int(reach(tokenizer.encoder)) + tokenizer.hop)
    assert len(set(seen)) == 1
    assert max(seen[0]) <= tile + context
    seen.clear()
    decode_tiles(tokenizer, codes, size=size, tile=tile)
    assert len(set(seen)) == 1
    assert max(seen[0]) <= tile // tokenizer.hop + 2 * (int(reach(tokenizer.decoder)) + 1)


def test_another_process_decodes_the_same_bits() -> None:
    """A compressed picture is decoded elsewhere than it was written."""
    program = (
        "import hashlib, torch; torch.set_num_threads(1)\n"
        "from codeword.coding.tiles import decode_tiles\n"
        "from codeword.tokenizer import Tokenizer\n"
        f"tokenizer = Tokenizer.from_pretrained({str(GOLDEN / 'tokenizer')!r})\n"
        "codes = torch.arange(2 * 60 * 45).view(60, 45, 2) * 7 // 3 % 4\n"
        "x = decode_tiles(tokenizer, codes, size=(239, 177), tile=64)\n"
        "print(hashlib.sha256(x.numpy().tobytes()).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    codes = torch.arange(2 * 60 * 45).view(60, 45, 2) * 7 // 3 % 4
    tokenizer = Tokenizer.from_pretrained(GOLDEN / "tokenizer")
    x = decode_tiles(tokenizer, codes, size=(239, 177), tile=64)
    assert other.stdout.strip() == hashlib.sha256(x.numpy().tobytes()).hexdigest()


def test_real_pictures_side_by_side(cifar_root: Path, tmp_path: Path) -> None:
    photos = Cifar10(Cifar10Config(root=cifar_root), "test")
    trunk = ConvTrunkConfig(width=16, residual_width=16, residual_blocks=2)
    torch.manual_seed(0)
    tokenizer = Tokenizer(TokenizerConfig(trunk=trunk, quantizer=VectorQuantizerConfig(codebook_sizes=(64,), dim=16)))
    tokenizer(photos.take(range(64, 128)).x)
    photo = mosaic(photos.take(range(150)).x, columns=15, gap=1)
    whole = tokenizer.eval().encode(photo[None])[0]
    size = tuple(photo.shape[1:])
    assert min(size) > 256  # So that the command line's own tiles are several.
    write_image(tmp_path / "photo.png", photo)
    images, config = MEDIA["images"], tokenizer.config
    assert images.size(tmp_path / "photo.png", config) == size
    codes = encode_signal(tokenizer, images.read(tmp_path / "photo.png", config))
    assert_same_codes(tokenizer, photo, codes, whole)
    images.write(tmp_path / "decoded.png", decode_signal(tokenizer, codes, size=size), config)
    error = read_image(tmp_path / "decoded.png") - tokenizer.decode(codes[None], size=size)[0]
    assert int(error.abs().max()) <= 1
    assert float((error != 0).float().mean()) < 1e-3


def test_what_cannot_be_tiled_says_so() -> None:
    drawn = WaveNetDecoderConfig(dilations=(1, 2), width=4, skip_width=4, features=4)
    heard = SpectrogramConfig(n_fft=16, hop=1, mels=4)
    alone = {"ndim": 1, "channels": 1, "quantizer": FiniteScalarQuantizerConfig(channel_levels=(4,), dim=4)}
    configs = [
        SPEECH,
        TokenizerConfig(**alone, likelihood=drawn),
        TokenizerConfig(**alone, sample_rate=8000, likelihood=heard),
    ]
    for config in configs:
        assert config is SPEECH or isinstance(config.frontend, SamplesConfig)
        with pytest.raises(UnsupportedError, match="cannot work on tiles"):
            encode_tiles(Tokenizer(config), signal((50,), channels=1))
        with pytest.raises(UnsupportedError, match="cannot work on tiles"):
            decode_tiles(Tokenizer(config), torch.zeros(5, 1, dtype=torch.int64), size=(5,))


def test_codes_of_another_size_are_refused() -> None:
    tokenizer = plain(2, SMALL)
    codes = tokenizer.encode(signal((9, 13), channels=2)[None])[0]
    for size in ((9, 17), (13, 9)):
        with pytest.raises(UsageError, match=r"give the size of the encoded signal"):
            decode_tiles(tokenizer, codes, size=size)
    with pytest.raises(UsageError, match="one for each axis"):
        decode_tiles(tokenizer, codes, size=(9,))


def test_tiles_without_a_present_cell_are_not_decoded() -> None:
    tokenizer = plain(2, SMALL)
    codes = tokenizer.encode(signal((80, 48), channels=2)[None])[0]
    present = torch.zeros(codes.shape[:-1], dtype=torch.bool)
    present[0, 0] = present[9, 7] = True
    seen: list[Tensor] = []
    hook = tokenizer.decoder.register_forward_hook(lambda *pass_: seen.append(pass_[2]))
    some = decode_tiles(tokenizer, codes, size=(80, 48), tile=16, present=present)
    hook.remove()
    assert len(seen) == 2
    whole = decode_tiles(tokenizer, codes, size=(80, 48), tile=16)
    for rows, columns in ((slice(0, 16), slice(0, 16)), (slice(32, 48), slice(16, 32))):
        assert torch.equal(some[:, rows, columns], whole[:, rows, columns])
