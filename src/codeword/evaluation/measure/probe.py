"""Linear probe: accuracy of a linear classifier on features measures how much of a label they contain."""

import torch
import torch.nn.functional as F
from torch import Tensor

ITERATIONS = 100
WEIGHT_DECAY = 1e-4


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
