"""Adversarial training of a tokenizer: discriminators, their losses, and the balance of gradients."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.config import AdversarialConfig
from codeword.data import Batch
from codeword.nn.discriminators import build_discriminators
from codeword.nn.distributed import sum_over_ranks
from codeword.nn.features import feature_distance
from codeword.tokenizer import Tokenizer
from codeword.training.perception import NO_PERCEPTION, Perception
from codeword.training.tasks import Losses, Rival, TokenizerTask

_COLLAPSED = 0.01
_SILENT = 1e-3
_QUIET = 0.01  # Deviation of a signal in [-1, 1] below which it is not scaled up further.


class Verdict(NamedTuple):
    """Losses () of one batch: of the discriminators, and of the decoder, each of its own with a gradient (B, C, *S).

    The decoder's losses have no graph: their gradients at the reconstruction are all that it needs.
    """

    discrimination: Tensor
    deception: Tensor
    matching: Tensor
    deception_gradient: Tensor
    matching_gradient: Tensor


class Objective(NamedTuple):
    """Loss () of logits: `real` and `reconstructed` for the discriminator, `deceived` for the decoder."""

    real: Callable[[Tensor], Tensor]
    reconstructed: Callable[[Tensor], Tensor]
    deceived: Callable[[Tensor], Tensor]


OBJECTIVES = {
    # Mao et al. 2017, eq. 9 with a = 0, b = c = 1.
    "least-squares": Objective(
        lambda x: (x - 1).square().mean(), lambda x: x.square().mean(), lambda x: (x - 1).square().mean()
    ),
    # Lim and Ye 2017.
    "hinge": Objective(lambda x: F.relu(1 - x).mean(), lambda x: F.relu(1 + x).mean(), lambda x: -x.mean()),
}


class GradientBalance(nn.Module):
    """Adds the gradients of several losses, each scaled by a moving average of its norm.

    Défossez et al. 2022 (EnCodec), eq. 4 and 5, with the average norm of the first gradient as their R, so that this
    one keeps its scale. The averages run over all ranks.
    """

    norms: Tensor

    def __init__(self, weights: Sequence[float], decay: float) -> None:
        super().__init__()
        self.weights, self.decay = tuple(weights), decay
        # Sums with decaying weights: their ratios are those of the averages.
        self.register_buffer("norms", torch.zeros(1 + len(weights)))

    @torch.no_grad()
    def forward(self, first: Tensor, others: Sequence[Tensor]) -> Tensor:
        """Gradients (B, ...) to their sum, in which each of the others weighs its weight times the first."""
        gradients = [first, *others]
        norms = torch.stack([gradient.float().flatten(1).norm(dim=1).mean() for gradient in gradients])
        sum_over_ranks(norms)
        self.norms.mul_(self.decay).add_(norms)
        # A loss without a gradient so far has nothing to scale.
        scales = torch.where(self.norms[1:] > 0, self.norms[0] / self.norms[1:], 0.0)
        for weight, scale, gradient in zip(self.weights, scales, others, strict=True):
            first = first + weight * scale * gradient
        return first


class Adversary(nn.Module):
    """Discriminators, and the balance of their gradients with that of the signal loss."""

    def __init__(self, config: AdversarialConfig, *, ndim: int, channels: int) -> None:
        super().__init__()
        self.discriminators = build_discriminators(config.discriminator, ndim=ndim, channels=channels)
        self.balance = GradientBalance((config.weight, config.matching_weight), config.decay)
        self.objective = OBJECTIVES[config.loss]

    def forward(self, signal: Tensor, reconstruction: Tensor) -> Verdict:
        """Signals and reconstructions (B, C, *S) in [-1, 1] to the losses, each a mean over the discriminators.

        Both are scaled by the factor that gives the signal unit deviation: quiet signals count as loud ones do.
        """
        reconstruction = reconstruction.detach().requires_grad_()
        # By one factor, so that a reconstruction that is too quiet is seen to be.
        scale = _deviation(signal).clamp(min=_QUIET)
        pairs = zip(self.discriminators(signal / scale), self.discriminators(reconstruction / scale), strict=True)
        judged = list(pairs)
        real, reconstructed, deceived = self.objective
        discrimination = _mean(real(a.logits.float()) + reconstructed(b.logits.float()) for a, b in judged)
        losses = (
            _mean(deceived(b.logits.float()) for _, b in judged),
            _mean(feature_distance(b.features, a.features) for a, b in judged),
        )
        gradients = [torch.autograd.grad(loss, reconstruction, retain_graph=True)[0] for loss in losses]
        return Verdict(discrimination, *(loss.detach() for loss in losses), *gradients)


class AdversarialTask(TokenizerTask):
    """The task of a tokenizer with a second module, the adversary, which learns from the same pass.

    Both learn in each step from the discriminators as they are before it.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        config: AdversarialConfig,
        *,
        frozen: Collection[str],
        perception: Perception = NO_PERCEPTION,
    ) -> None:
        super().__init__(tokenizer, frozen=frozen, perception=perception)
        self.config = config
        self.adversary = Adversary(config, ndim=tokenizer.config.ndim, channels=tokenizer.config.channels)
        self.rivals = (Rival("adversary", self.adversary, config.learning_rate, "adversarial.learning_rate"),)
        self._judged: list[dict[str, Tensor]] = []

    def losses(self, modules: Sequence[nn.Module], batch: Batch, *, step: int, generator: torch.Generator) -> Losses:
        module, adversary = modules
        result = self.reconstruct(module, batch, step=step, generator=generator)
        if step < self.config.start:
            return Losses([result.loss], result.figures)
        signal = 2 * self.module.likelihood.centred(batch.x)
        reconstruction = 2 * result.features.detach()
        window = _window(signal.shape[2:], self.config.crop, generator)
        verdict: Verdict = adversary(signal[window], reconstruction[window])

        def balanced(gradient: Tensor) -> Tensor:
            total = self.adversary.balance(gradient[window], [verdict.deception_gradient, verdict.matching_gradient])
            gradient = gradient.clone()
            gradient[window] = total
            return gradient

        result.features.register_hook(balanced)
        energy = reconstruction.square().mean() / signal.square().mean().clamp(min=1e-12)
        losses = {name: getattr(verdict, name).detach() for name in ("discrimination", "deception", "matching")}
        self._judged.append(losses | {"energy": energy})
        return Losses([result.loss, verdict.discrimination], result.figures)

    def recent(self) -> dict[str, float]:
        judged, self._judged = self._judged, []
        names = judged[0] if judged else ()
        return super().recent() | {name: float(torch.stack([each[name] for each in judged]).mean()) for name in names}

    def concerns(self, figures: dict[str, float]) -> Iterator[str]:
        if figures.get("discrimination", 1.0) < _COLLAPSED:
            yield (
                "the discriminators tell all reconstructions from signals, so that the decoder learns nothing from "
                "them; lower adversarial.learning_rate"
            )
        if figures.get("energy", 1.0) < _SILENT:
            yield "the decoder's signals are silent; lower adversarial.weight"


def _deviation(signal: Tensor) -> Tensor:
    """The standard deviation of each signal (B, C, *S), in a shape that divides it."""
    return signal.flatten(1).std(1).view(-1, *[1] * (signal.ndim - 1))


def _mean(losses: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(losses)).mean()


def _window(size: Sequence[int], crop: int | None, generator: torch.Generator) -> tuple[slice, ...]:
    """Slices of signals (B, C, *size) that keep `crop` values along each axis, from a random place on."""
    window = [slice(None), slice(None)]
    for n in size:
        kept = min(crop or n, n)
        start = int(torch.randint(n - kept + 1, (), generator=generator))
        window.append(slice(start, start + kept))
    return tuple(window)
