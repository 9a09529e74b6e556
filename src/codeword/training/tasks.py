"""Training tasks: the tokenizer, and a prior over its codes. Each gives a loss, figures, and an evaluation.

The task of an encoder with targets is in `targets/encoder.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import log
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from codeword.data import Batch
from codeword.priors import Prior
from codeword.quantizers import CodeUsage
from codeword.tokenizer import Pass, Tokenizer
from codeword.training.perception import NO_PERCEPTION, Perception

M = TypeVar("M", bound=nn.Module)

COLLAPSED = 0.05
"""Usage of the codewords over some training steps below which a codebook is said to collapse."""


@dataclass(frozen=True)
class Rival:
    """A further module that a task trains by a loss and an optimizer of its own, and that no one keeps.

    `name` is its name in the checkpoint, `setting` that of its learning rate in the recipe.
    """

    name: str
    module: nn.Module
    learning_rate: float
    setting: str


class Losses(NamedTuple):
    """The loss () of each trained module, and figures to log (). A module after the last loss stays as it is."""

    losses: list[Tensor]
    figures: dict[str, Tensor]


class Task(ABC, Generic[M]):
    """One part to train; `part` names it in logs and files, `module` holds the parameters."""

    part: str
    module: M
    rivals: tuple[Rival, ...] = ()

    def losses(self, modules: Sequence[nn.Module], batch: Batch, *, step: int, generator: torch.Generator) -> Losses:
        """The losses of training step `step`, computed with `modules`: `module` and the rivals, maybe wrapped.

        The gradient of each loss reaches one module.
        """
        loss, figures = self.loss(modules[0], batch, step=step, generator=generator)
        return Losses([loss], figures)

    @abstractmethod
    def loss(
        self, module: nn.Module, batch: Batch, *, step: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss () and figures to log (), computed with `module`, which may be a wrapped `self.module`."""

    def recent(self) -> dict[str, float]:
        """Figures over all steps since the last call."""
        return {}

    def concerns(self, figures: dict[str, float]) -> Iterator[str]:
        """Sentences on what goes wrong by the logged figures, each with a way out."""
        return iter(())

    @abstractmethod
    def evaluate(self, module: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        """Figures over all validation batches, including `loss`."""


class Reconstruction(NamedTuple):
    """The decoder's features (B, F, *S) for a batch, their loss (), and figures to log ()."""

    features: Tensor
    loss: Tensor
    figures: dict[str, Tensor]


class TokenizerTask(Task[Tokenizer]):
    """Signal loss, quantizer loss and the loss of `perception`.

    The parts in `frozen`, such as "encoder" and "quantizer", stay as they are.
    """

    part = "tokenizer"

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        part: str = part,
        frozen: Collection[str] = (),
        perception: Perception = NO_PERCEPTION,
    ) -> None:
        self.module, self.part, self.perception = tokenizer, part, perception
        for name in frozen:
            tokenizer.get_submodule(name).requires_grad_(False)
        if "quantizer" in frozen:
            # Codebooks also change without a gradient.
            tokenizer.quantizer.freeze()
        self.label_dropout = tokenizer.config.label_dropout
        self.usage, self.collapsed = CodeUsage(tokenizer.quantizer.codebook_sizes), False

    def loss(
        self, module: nn.Module, batch: Batch, *, step: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        result = self.reconstruct(module, batch, step=step, generator=generator)
        return result.loss, result.figures

    def reconstruct(self, module: nn.Module, batch: Batch, *, step: int, generator: torch.Generator) -> Reconstruction:
        """The pass of the tokenizer, maybe wrapped as `module`, over a batch of which some labels are dropped."""
        label = drop_labels(batch.label, self.module.classes, self.label_dropout, generator)
        result: Pass = module(batch.x, label, generator=generator)
        self.usage.add(result.codes)
        perception = self.perception.loss(self.module.likelihood, result.features, batch.x, step=step)
        figures = {"signal_loss": result.signal_loss, "vq_loss": result.vq_loss, **perception}
        return Reconstruction(result.features, sum(perception.values(), result.loss), figures)

    def recent(self) -> dict[str, float]:
        figures = _codebook_figures(self.module, self.usage)
        self.usage = CodeUsage(self.module.quantizer.codebook_sizes)
        return figures

    def concerns(self, figures: dict[str, float]) -> Iterator[str]:
        collapsed = figures["usage"] < COLLAPSED
        if collapsed and not self.collapsed:
            yield (
                f"only {figures['usage']:.1%} of the codewords are in use, so the codebook collapses; try a smaller "
                f"tokenizer.quantizer.beta, lookup_dim = 8, update = 'linear', or fewer codebook_sizes"
            )
        self.collapsed = collapsed

    @torch.no_grad()
    def evaluate(self, module: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        assert isinstance(module, Tokenizer)
        usage = CodeUsage(module.quantizer.codebook_sizes)
        signals, losses, nats = 0, 0.0, 0.0
        for batch in batches:
            analysis = module.analyse(batch.x, batch.label)
            usage.add(analysis.quantized.codes)
            quantizer_loss = analysis.quantized.training_loss(batch.x.numel())
            loss = module.likelihood.loss(analysis.features, batch.x) + quantizer_loss
            losses += float(loss) * len(batch.x)
            nats -= float(module.likelihood.log_prob(analysis.features, batch.x).sum()) / batch.x[0].numel()
            signals += len(batch.x)
        return {"loss": losses / signals, "signal_bpd": nats / signals / log(2), **_codebook_figures(module, usage)}


class PriorTask(Task[Prior]):
    """Nats per symbol of the codes, which a trained tokenizer computes in each step.

    If the tokenizer serves several numbers of codes, each signal keeps as many as the quantizer's dropout draws.
    """

    part = "prior"

    def __init__(self, prior: Prior, tokenizer: Tokenizer, *, label_dropout: float) -> None:
        self.module = prior
        self.tokenizer = tokenizer.eval().requires_grad_(False)
        self.label_dropout = label_dropout

    def loss(
        self, module: nn.Module, batch: Batch, *, step: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        label = drop_labels(batch.label, self.module.classes, self.label_dropout, generator)
        counts = None
        if len(self.module.served_codes) > 1:
            counts = self.tokenizer.quantizer.draw_counts(len(batch.x), generator).to(batch.x.device)
        loss = module(self.tokenizer.encode_unchecked(batch.x), label, counts, generator=generator)
        return loss, {"bits_per_code": loss.detach() / log(2)}

    @torch.no_grad()
    def evaluate(self, module: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        assert isinstance(module, Prior)
        cells, conditional_nats, nats = 0, 0.0, dict.fromkeys(module.served_codes, 0.0)
        for batch in batches:
            codes = self.tokenizer.encode(batch.x)
            cells += codes[..., 0].numel()
            for n in module.served_codes:
                nats[n] -= float(module.log_prob(codes[..., :n]).sum())
            if module.classes:
                conditional_nats -= float(module.log_prob(codes, batch.label).sum())
        *fewer, all_codes = module.served_codes
        symbols = cells * all_codes
        figures = {"loss": nats[all_codes] / symbols, "bits_per_code": nats[all_codes] / symbols / log(2)}
        figures |= {f"bits_per_code_first_{n}": nats[n] / (cells * n) / log(2) for n in fewer}
        if module.classes:
            figures["bits_per_code_given_label"] = conditional_nats / symbols / log(2)
        return figures


def _codebook_figures(tokenizer: Tokenizer, usage: CodeUsage) -> dict[str, float]:
    """Perplexity and usage, and figures of codebooks of changing size, of whose codewords the usage is then a share."""
    figures = tokenizer.quantizer.figures()
    codewords = sum(tokenizer.quantizer.codebook_sizes)
    used = usage.usage * codewords / figures.get("codewords", codewords)
    return {"perplexity": usage.perplexity, "usage": min(used, 1.0), **figures}


def drop_labels(label: Tensor, classes: int, dropout: float, generator: torch.Generator) -> Tensor:
    """Labels (B,), of which a fraction `dropout` is replaced by the null class, number `classes`."""
    dropped = torch.rand(label.shape, generator=generator).to(label.device) < dropout
    return torch.where(dropped, classes, label)
