"""Comparison of two sets of signals by their features (N, D) in a network: distance, precision and recall."""

import torch
from torch import Tensor

NEIGHBOURS = 3
"""Kynkäänniemi et al. 2019 use this number of neighbours."""

_ROWS = 1000  # Features whose distances to the other set are computed at a time.


def frechet_distance(features: Tensor, reference: Tensor) -> float:
    """The squared Fréchet distance of Gaussians fitted to two sets of features, (N, D) and (M, D); 0 is equal.

    Heusel et al. 2017, eq. 6. The FID is this distance in the features of an Inception network, so values in those of
    another network do not compare with it.

    Example:
        >>> import torch
        >>> x = torch.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]])
        >>> round(frechet_distance(x + 3, x), 9)
        18.0
    """
    means, covariances = zip(*(_gaussian(x) for x in (features, reference)), strict=True)
    values, vectors = torch.linalg.eigh(covariances[0])
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    # The trace of the root of a product, by a symmetric matrix with the same eigenvalues.
    shared = torch.linalg.eigvalsh(root @ covariances[1] @ root).clamp(min=0).sqrt().sum()
    spread = covariances[0].trace() + covariances[1].trace() - 2 * shared
    return float((means[0] - means[1]).square().sum() + spread.clamp(min=0))


def within(features: Tensor, reference: Tensor, *, neighbours: int = NEIGHBOURS) -> Tensor:
    """True for each of the features (N, D) that lies in the manifold of the reference (M, D), (N,).

    The manifold is a union of spheres. Each has its centre at one of the reference features, and reaches to the
    `neighbours`-th nearest other one (Kynkäänniemi et al. 2019, eq. 1). With generated signals as `features` and real
    ones as reference the mean is the precision, and the other way round it is the recall.
    """
    # Each feature of the reference is its own nearest neighbour, which does not count.
    number = min(neighbours + 1, len(reference))
    radii = torch.cat([torch.cdist(rows, reference).kthvalue(number).values for rows in reference.split(_ROWS)])
    return torch.cat([(torch.cdist(rows, reference) <= radii).any(1) for rows in features.split(_ROWS)])


def _gaussian(features: Tensor) -> tuple[Tensor, Tensor]:
    """The mean (D,) and the covariance (D, D) of features (N, D)."""
    features = features.double()
    return features.mean(0), features.T.cov()
