"""Linear probes: accuracy of a linear classifier on features measures how much of a label they contain."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

ITERATIONS = 100
WEIGHT_DECAY = 1e-4

_ROWS = 1000
_LEAST_SQUARE = 1e-12  # Of features that are all constant, which no penalty could be relative to.


class LinearProbe:
    """Multinomial logistic regression on features normalised to mean 0 and scale 1. Deterministic.

    scikit-learn is only in the extra `speech`; phone metrics do not need this extra.
    """

    def __init__(self, features: Tensor, labels: Tensor, *, classes: int) -> None:
        """Fit features (N, D) to labels (N,) int64 below `classes`, by full-batch L-BFGS."""
        self.mean = features.mean(0)
        # The scale of a constant feature is 0, which must not become a divisor.
        self.scale = features.std(0, correction=0).clamp(min=1e-6)
        scaled = self._scaled(features)
        self.weight = torch.zeros(classes, features.shape[1], requires_grad=True)
        self.bias = torch.zeros(classes, requires_grad=True)
        optimiser = torch.optim.LBFGS([self.weight, self.bias], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimiser.zero_grad()
            loss = F.cross_entropy(F.linear(scaled, self.weight, self.bias), labels)
            loss = loss + WEIGHT_DECAY * self.weight.square().sum()
            loss.backward()
            return loss

        with torch.enable_grad(), torch.inference_mode(False):
            optimiser.step(closure)
        self.weight, self.bias = self.weight.detach(), self.bias.detach()

    def predict(self, features: Tensor) -> Tensor:
        """Features (N, D) to labels (N,)."""
        return F.linear(self._scaled(features), self.weight, self.bias).argmax(1)

    def _scaled(self, features: Tensor) -> Tensor:
        return (features.float() - self.mean) / self.scale


@dataclass(frozen=True)
class RidgeProbe:
    """Linear scores of classes: features (N, D) times `weight` (D, classes), plus `bias` (classes,)."""

    weight: Tensor
    bias: Tensor

    def predict(self, features: Tensor) -> Tensor:
        """Features (N, D) to labels (N,)."""
        return (features @ self.weight + self.bias).argmax(1)


def ridge_probes(features: Tensor, labels: Tensor, *, classes: int, penalties: Sequence[float]) -> list[RidgeProbe]:
    """Least squares from features (N, D) to one-hot labels (N,), with each of the penalties on the squared weights.

    A penalty is relative to the mean square of the centred features. In closed form (Hastie et al. 2009, eq. 3.44), so
    that many features and signals take one product, and a few signals almost no time.
    """
    targets = F.one_hot(labels, classes).double()
    mean, shares = features.mean(0), targets.mean(0)
    x, y = features - mean, targets - shares
    # The smaller of two systems of equations with the same solution.
    dual = len(x) < x.shape[1]
    gram = _gram(x.T if dual else x)
    right = y if dual else (x.T @ y.float()).double()
    scale = (gram.trace() / x.shape[1]).clamp(min=_LEAST_SQUARE)
    probes = []
    for penalty in penalties:
        solution = _solved(gram, right, damping=float(penalty * scale))
        weight = x.T @ solution.float() if dual else solution.float()
        probes.append(RidgeProbe(weight, shares.float() - mean @ weight))
    return probes


def _solved(gram: Tensor, right: Tensor, *, damping: float) -> Tensor:
    """The solution of (gram + damping I) solution = right, for a product `gram` of `_gram`."""
    factor, failed = torch.linalg.cholesky_ex(gram + damping * torch.eye(len(gram), dtype=gram.dtype))
    if not failed:
        return torch.cholesky_solve(right, factor)
    # If few directions hold all variance, as with few codewords in use, sums in single precision leave eigenvalues
    # that are 0 further below 0 than a low penalty lifts them.
    values, vectors = torch.linalg.eigh(gram)
    solution: Tensor = vectors @ ((vectors.T @ right) / (values.clamp(min=0) + damping)[:, None])
    return solution


def _gram(x: Tensor) -> Tensor:
    """The product of x (N, D) with itself, (D, D) float64.

    It is added up in parts: a long sum in single precision is less exact than a low penalty needs.
    """
    gram = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64)
    for rows in x.split(_ROWS):
        gram += rows.T @ rows
    return gram
