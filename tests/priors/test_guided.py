"""Laws of guidance by the label: both ends are the prior itself, and more of it exaggerates what the label changes."""

import pytest
import torch

from codeword.priors import Guided, PixelCNN, Sampler, seeded, walk


@pytest.mark.parametrize(("weight", "own"), [(1.0, 1), (0.0, None)])
def test_a_weight_of_one_is_the_class_and_of_none_is_without_it(
    prior: PixelCNN, weight: float, own: int | None
) -> None:
    codes = walk(Guided(prior, prior, weight), 2, Sampler(generator=seeded(0)), label=torch.tensor([1, 1]))
    alone = walk(prior, 2, Sampler(generator=seeded(0)), label=None if own is None else torch.full((2,), own))
    assert torch.equal(codes, alone)


@pytest.mark.parametrize("weight", [-1.0, 0.5, 2.0, 5.0])
def test_logits_move_by_the_weight_times_the_difference(prior: PixelCNN, weight: float) -> None:
    labels = torch.tensor([1, 1])
    codes = walk(prior, 2, Sampler(generator=seeded(0)))

    def seen(guided: Guided) -> torch.Tensor:
        """The logits of all symbols of the same codes."""
        found: list[torch.Tensor] = []

        def choose(logits: torch.Tensor, i: int) -> torch.Tensor:
            found.append(logits.flatten())
            return codes.flatten(1)[:, i]

        walk(guided, 2, choose, label=labels)
        return torch.cat(found)

    labelled, free, moved = (seen(Guided(prior, prior, w)) for w in (1, 0, weight))
    torch.testing.assert_close(moved - free, weight * (labelled - free), rtol=1e-4, atol=1e-4)
