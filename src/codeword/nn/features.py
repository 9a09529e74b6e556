"""The distance of signals in the features of a network."""

from collections.abc import Iterable

import torch
from torch import Tensor


def feature_distance(features: Iterable[Tensor], reference: Iterable[Tensor]) -> Tensor:
    """The mean over layers of the absolute difference of features, relative to those of the reference, ().

    The idea is that of the feature losses of Larsen et al. 2016 and Johnson et al. 2016. No gradient reaches the
    reference.

    Example:
        >>> import torch
        >>> feature_distance([torch.tensor([3.0, 1.0]), torch.zeros(2)], [torch.tensor([2.0, 2.0]), torch.zeros(2)])
        tensor(0.2500)
    """
    distances = [
        (a - b.detach()).abs().mean() / b.detach().abs().mean().clamp(min=1e-6)
        for a, b in zip(features, reference, strict=True)
    ]
    return torch.stack(distances).float().mean()
