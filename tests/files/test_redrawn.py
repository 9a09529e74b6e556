"""A part of a picture or a recording is drawn anew, or a recording is continued; the rest stays as it is."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny.codec_models import sine
from torch import Tensor

import codeword
from codeword.config import TokenizerConfig
from codeword.errors import CodewordError, UnsupportedError
from codeword.files import Redrawing, redraw_file
from codeword.files.redrawn import _cross_fade
from codeword.media import MEDIA
from codeword.model import Model, uniform
from codeword.priors import Sampler, seeded

BOX, SPAN = "20,12,33,30", "0.3,0.5"
OF_PHOTO, OF_VOICE = (slice(12, 30), slice(20, 33)), (slice(4800, 8000),)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    photo, voice = folder / "photo.png", folder / "voice.wav"
    MEDIA["images"].write(photo, [sine(2, (50, 70), channels=3, values=256)], TokenizerConfig())
    config = codeword.load("speech").tokenizer.config
    MEDIA["audio"].write(voice, [sine(1, (12_345,), channels=1, values=65_536)], config)
    return {"images": photo, "speech": voice}


def drawn(name: str, files: dict[str, Path], out: Path, asked: Redrawing, *, seed: int = 0) -> list[Tensor]:
    draw = Sampler(generator=seeded(seed))
    paths = redraw_file(codeword.load(name), files[name], out, asked, draw, force=True)
    return [codeword.read(path).long() for path in paths]


@pytest.mark.parametrize(("name", "mask", "part"), [("images", BOX, OF_PHOTO), ("speech", SPAN, OF_VOICE)])
def test_a_part_is_drawn_and_the_rest_stays_as_it_is(
    name: str, mask: str, part: tuple[slice, ...], files: dict[str, Path], tmp_path: Path
) -> None:
    model, x = codeword.load(name), codeword.read(files[name]).long()
    out = tmp_path / f"out{files[name].suffix}"
    (y,) = drawn(name, files, out, Redrawing(mask=mask))
    assert y.shape == x.shape
    far = torch.ones(x.shape[1:], dtype=torch.bool)
    hop = model.tokenizer.hop
    far[tuple(slice(s.start - hop, s.stop + hop) for s in part)] = False
    assert torch.equal(y[:, far], x[:, far])
    assert (y[(slice(None), *part)] != x[(slice(None), *part)]).float().mean() > 0.5
    (again,), (other,) = (drawn(name, files, out, Redrawing(mask=mask), seed=seed) for seed in (0, 1))
    assert torch.equal(y, again)
    assert not torch.equal(y, other)


def test_guidance_counts_the_label_more(files: dict[str, Path], tmp_path: Path) -> None:
    asked = (Redrawing(mask=BOX, label=label, guidance=weight) for label, weight in ((0, 1.0), (0, 3.0), (1, 0.0)))
    plain, strong, free = (drawn("images", files, tmp_path / "out.png", one)[0] for one in asked)
    assert not torch.equal(plain, strong)
    assert torch.equal(free, drawn("images", files, tmp_path / "out.png", Redrawing(mask=BOX))[0])


def test_a_recording_is_continued(files: dict[str, Path], tmp_path: Path) -> None:
    x = codeword.read(files["speech"]).long()
    first, second = drawn("speech", files, tmp_path / "out", Redrawing(seconds=0.25, count=2))
    hop = codeword.load("speech").tokenizer.hop
    assert first.shape == second.shape == (1, 12_345 + 4_000)
    assert torch.equal(first[:, : 12_345 - hop], x[:, :-hop])
    assert not torch.equal(first[:, 12_345:], second[:, 12_345:])
    assert first[:, 12_345:].float().std() > 0


def test_a_picture_marks_the_part_by_white_or_transparency(files: dict[str, Path], tmp_path: Path) -> None:
    from PIL import Image

    white = Image.new("L", (70, 50))
    white.paste(255, (20, 12, 33, 30))
    holes = Image.new("RGBA", (70, 50), (0, 0, 0, 255))
    holes.paste((0, 0, 0, 0), (20, 12, 33, 30))
    white.save(tmp_path / "white.png")
    holes.save(tmp_path / "holes.png")
    masks = [BOX, *(str(tmp_path / name) for name in ("white.png", "holes.png"))]
    found = [drawn("images", files, tmp_path / "out.png", Redrawing(mask=mask))[0] for mask in masks]
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@given(data=st.data(), ndim=st.integers(1, 2), hop=st.sampled_from([1, 2, 4, 10]))
def test_the_cross_fade_is_one_in_the_mask_and_ends_after_a_cell(data: st.DataObject, ndim: int, hop: int) -> None:
    n = 60
    start = data.draw(st.integers(0, n - 1))
    stop = data.draw(st.integers(start + 1, n))
    mask = torch.zeros((n,) * ndim, dtype=torch.bool)
    mask[(slice(start, stop),) * ndim] = True
    weight = _cross_fade(mask, hop)
    assert bool((weight[mask] == 1).all())
    assert bool(((weight >= 0) & (weight <= 1)).all())
    near = torch.zeros_like(mask)
    near[(slice(max(0, start - hop), stop + hop),) * ndim] = True
    assert not bool(weight[~near].any())


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        ("images", Redrawing(mask="90,90,99,99"), r"marks nothing of this image \(height \d+, width \d+\)"),
        ("speech", Redrawing(mask="90,99"), r"marks nothing of this recording \([\d.]+ s\)"),
        ("images", Redrawing(mask="1,2"), "neither a picture nor LEFT,TOP,RIGHT,BOTTOM"),
        ("images", Redrawing(mask=BOX, count=2), "gives? a folder|give a folder"),
        ("images", Redrawing(mask=BOX, label=99), "99"),
        ("images", Redrawing(mask=BOX, guidance=2.0), "give the label too"),
        ("images", Redrawing(seconds=1.0), "no length in seconds"),
        ("speech", Redrawing(mask=BOX), "START,STOP in seconds"),
        ("speech", Redrawing(seconds=-1.0), "above 0 seconds, not -1"),
        ("speech", Redrawing(), "give the length"),
        ("speech", Redrawing(mask=SPAN, codes=99), "1 to 8, not 99"),
    ],
)
def test_what_cannot_be_drawn_is_refused_and_nothing_is_written(
    name: str, asked: Redrawing, message: str, files: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(CodewordError, match=message):
        drawn(name, files, tmp_path / f"out{files[name].suffix}", asked)
    assert not list(tmp_path.iterdir())


def test_a_mask_of_another_size_and_a_file_of_another_medium_are_refused(
    files: dict[str, Path], tmp_path: Path
) -> None:
    MEDIA["images"].write(tmp_path / "mask.png", [sine(2, (8, 9), channels=3, values=256)], TokenizerConfig())
    with pytest.raises(CodewordError, match="9 x 8 pixels, but the picture 70 x 50"):
        drawn("images", files, tmp_path / "out.png", Redrawing(mask=str(tmp_path / "mask.png")))
    with pytest.raises(CodewordError, match=r"draws images, and .*voice.wav is none"):
        redraw_file(codeword.load("images"), files["speech"], tmp_path / "o.png", Redrawing(mask=BOX), Sampler())


def test_a_model_without_a_trained_prior_draws_nothing(files: dict[str, Path], tmp_path: Path) -> None:
    tokenizer = codeword.load("images").tokenizer
    with pytest.raises(UnsupportedError, match="no trained prior"):
        redraw_file(
            Model(tokenizer, uniform(tokenizer)), files["images"], tmp_path / "o.png", Redrawing(mask=BOX), Sampler()
        )
