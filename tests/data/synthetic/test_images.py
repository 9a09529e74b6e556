"""Drawn scenes: the same for everyone, and rich enough to learn from."""

import torch

from codeword.config import SyntheticImagesConfig
from codeword.data import open_dataset


def test_an_image_depends_on_its_index_and_split_alone() -> None:
    few = open_dataset(SyntheticImagesConfig(train=20), "train").take(range(20))
    many = open_dataset(SyntheticImagesConfig(train=50, valid=20), "train").take(range(20))
    assert torch.equal(few.x, many.x)
    assert torch.equal(few.label, many.label)
    other = open_dataset(SyntheticImagesConfig(valid=20), "valid").take(range(20))
    assert not torch.equal(few.x, other.x)


def test_scenes_differ_and_use_the_range() -> None:
    data = open_dataset(SyntheticImagesConfig(train=400), "train")
    assert data.shape == (3, 32, 32)
    assert len(data.classes) == 10
    x = data.take(range(400)).x
    assert len(x.flatten(1).unique(dim=0)) == 400
    deviation = x.float().flatten(1).std(1)
    assert float(deviation.min()) > 10, "an image is nearly flat"
    assert set(data.take(range(400)).label.tolist()) == set(range(10))


def test_classes_can_be_told_apart() -> None:
    """A nearest class mean of blurred edges beats chance by far, so a prior has something to learn."""
    data = open_dataset(SyntheticImagesConfig(train=2000, test=500), "train")
    held_out = open_dataset(SyntheticImagesConfig(train=2000, test=500), "test")

    def spectrum(x: torch.Tensor) -> torch.Tensor:
        return torch.fft.rfft2(x.float().mean(1) - x.float().mean((1, 2, 3))[:, None, None]).abs().log1p().flatten(1)

    train, test = data.take(range(2000)), held_out.take(range(500))
    features = spectrum(train.x)
    means = torch.stack([features[train.label == k].mean(0) for k in range(10)])
    guess = torch.cdist(spectrum(test.x), means).argmin(1)
    assert float((guess == test.label).float().mean()) > 0.2


def test_any_size_can_be_drawn() -> None:
    for size in (8, 17, 64):
        assert open_dataset(SyntheticImagesConfig(size=size, train=3), "train").take([2]).x.shape == (1, 3, size, size)


def test_plain_images_show_grey_shapes_on_black() -> None:
    x = open_dataset(SyntheticImagesConfig(plain=True, size=24, train=50), "train").take(range(50)).x
    assert torch.equal(x, x[:, :1].expand(-1, 3, -1, -1))
    black = (x == 0).float().flatten(1).mean(1)
    assert 0.5 < float(black.min()) <= float(black.max()) < 0.98
    assert bool((x.flatten(1).amax(1) > 128).all())


def test_less_variation_moves_shapes_less() -> None:
    """The middle of a shape is that of its white pixels, on black."""

    def deviation(variation: float) -> float:
        config = SyntheticImagesConfig(plain=True, variation=variation, train=500)
        white = open_dataset(config, "train").take(range(0, 500, 10)).x[:, 0].float()
        across = (white.sum(1) * torch.arange(32)).sum(1) / white.sum((1, 2))
        return float(across.std())

    still, some, full = map(deviation, (0.0, 0.25, 1.0))
    assert still < 0.01
    assert 0.2 * full < some < 0.3 * full
