"""The interface of priors, and the walk along the symbols."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any, ClassVar, Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.arguments import check_codes, check_labels, check_size
from codeword.config import PriorModelConfig
from codeword.errors import UnsupportedError, UsageError
from codeword.nn.walk import Choose
from codeword.store import Pretrained


class Prior(Pretrained):
    """p(codes | label) for codes (B, *G, K), code k below `codebook_sizes[k]`; labels (B,) are below `classes`.

    For each n in `served_codes` it is also the model of the first n codes of all cells, without the others: of codes
    (B, *G, n). Symbols are numbered cell by cell in the `order` of the prior, the codes of a cell one after the other.

    Example:
        >>> import torch
        >>> from codeword.config import PixelCNNConfig, PriorModelConfig
        >>> from codeword.priors import Sampler, build_prior, walk
        >>> tiny = PixelCNNConfig(layers=1, width=4, head_width=4)
        >>> prior = build_prior(PriorModelConfig(architecture=tiny, grid=(3, 3), codebook_sizes=(8,)))
        >>> codes = walk(prior, 2, Sampler(generator=torch.Generator().manual_seed(0)))
        >>> codes.shape, prior.log_prob(codes).shape
        (torch.Size([2, 3, 3, 1]), torch.Size([2]))
    """

    config_class = PriorModelConfig
    any_grid: ClassVar[bool] = False
    """True if `walk` accepts grids of other sizes than `grid`."""

    def __init__(self, config: PriorModelConfig) -> None:
        super().__init__(config)
        self.config = config
        self.grid, self.codebook_sizes, self.classes = config.grid, config.codebook_sizes, config.classes
        self.served_codes: tuple[int, ...] = (*config.served_codes, len(config.codebook_sizes))

    def __repr__(self) -> str:
        sizes = list(self.codebook_sizes)
        return f"{type(self).__name__}(grid {named(self.grid)}, codebooks {sizes}, {self.classes} classes)"

    @property
    def symbols(self) -> int:
        """Symbols per signal."""
        return prod(self.grid) * len(self.codebook_sizes)

    def log_prob(self, codes: Tensor, label: Tensor | None = None) -> Tensor:
        """Codes (B, *G, n) and labels (B,) to log-probabilities (B,) in nats, all symbols in parallel.

        Raises:
            UsageError: the codes or the labels are not integers of this shape and range.
        """
        codes = check_codes(codes, self.codebook_sizes, ndim=len(self.grid), leading=self.served_codes)
        return self._log_prob(codes, check_labels(label, batch=len(codes), classes=self.classes))

    def cell_log_probs(self, codes: Tensor, label: Tensor | None = None) -> Tensor:
        """Codes (B, *G, n) and labels (B,) to the log-probability of each cell given all before it (B, *G), in nats.

        Raises:
            UsageError: as `log_prob`.
        """
        codes = check_codes(codes, self.codebook_sizes, ndim=len(self.grid), leading=self.served_codes)
        return self._cell_log_probs(codes, check_labels(label, batch=len(codes), classes=self.classes))

    def _cell_log_probs(self, codes: Tensor, label: Tensor | None) -> Tensor:
        """`cell_log_probs` of arguments that were checked."""
        total = torch.zeros(codes.shape[:-1], device=codes.device)
        for k, logits in enumerate(self.all_logits(codes, label)):
            nll = F.cross_entropy(logits.flatten(0, -2), codes[..., k].flatten(), reduction="none")
            total = total - nll.view(total.shape)
        return total

    def forward(
        self,
        codes: Tensor,
        label: Tensor | None = None,
        counts: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """The training loss (): nats per symbol. The arguments are not checked.

        With `counts` (B,), signal b has the first counts[b] codes of its cells only. `generator` is for priors whose
        loss is random.
        """
        symbols = codes.numel() if counts is None else counts.sum() * codes[0, ..., 0].numel()
        return -self.dropping(generator)._log_prob(codes, label, counts).sum() / symbols

    def dropping(self, generator: torch.Generator | None) -> Self:
        """The prior with the same weights, whose dropout in training draws from `generator`; here there is none."""
        return self

    @abstractmethod
    def _log_prob(self, codes: Tensor, label: Tensor | None, counts: Tensor | None = None) -> Tensor:
        """`log_prob` of arguments that were checked; `counts` as in `forward`."""

    def start_from(self, contributions: Sequence[Tensor]) -> None:
        """Initialise the tables of codes from `Quantizer.contributions`, before training; here there are none."""

    def order(self, grid: tuple[int, ...]) -> Tensor:
        """The cells of `grid` as the walk visits them: (cells,), each by its number in raster order."""
        return torch.arange(prod(grid))

    def redrawing(self, drawn: Tensor) -> "Prior":
        """This prior for a walk in which only the cells where `drawn` (*G) bool is True are drawn.

        A prior that can walk in any order visits the other cells, which are known, first.
        """
        return self

    @abstractmethod
    def all_logits(self, codes: Tensor, label: Tensor | None = None) -> Iterator[Tensor]:
        """Yield for each code k of the cells (B, *G, n) its logits (B, *G, codebook_sizes[k]) given all before it."""

    @abstractmethod
    def exact(self) -> "Prior":
        """The prior that `make_exact` returns, of weights that were checked."""

    @abstractmethod
    def start(
        self, batch: int, label: Tensor | None = None, *, codes: int | None = None, grid: tuple[int, ...] | None = None
    ) -> Any:
        """A fresh state for walking `batch` signals of `codes` codes per cell, by default all.

        `grid` is by default the prior's own; a prior that does not have `any_grid` takes no other.
        """

    @abstractmethod
    def logits(self, state: Any, i: int) -> Tensor:
        """Logits (B, n) of symbol i, after all symbols before it have been pushed."""

    @abstractmethod
    def push(self, state: Any, i: int, symbols: Tensor) -> None:
        """Append symbol i: symbols (B,) int64."""


class Walked(Protocol):
    """The part of a `Prior` that a walk needs."""

    @property
    def grid(self) -> tuple[int, ...]: ...
    @property
    def any_grid(self) -> bool: ...
    @property
    def classes(self) -> int: ...
    @property
    def served_codes(self) -> tuple[int, ...]: ...

    def order(self, grid: tuple[int, ...]) -> Tensor: ...
    def start(
        self, batch: int, label: Tensor | None = None, *, codes: int | None = None, grid: tuple[int, ...] | None = None
    ) -> Any: ...
    def logits(self, state: Any, i: int) -> Tensor: ...
    def push(self, state: Any, i: int, symbols: Tensor) -> None: ...


@torch.no_grad()
def walk(
    prior: Walked,
    batch: int,
    choose: Choose,
    *,
    label: Tensor | None = None,
    grid: tuple[int, ...] | None = None,
    codes: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Tensor:
    """Visit every symbol in order, letting `choose` take it; returns the codes (B, *G, n).

    `choose` draws (sampling), or writes or reads the symbol (compression): the walk is the same. The grid is the
    prior's own, unless another is asked for; n is `codes`, by default all K.

    Raises:
        UnsupportedError: this prior walks no such grid, or does not serve this number of codes.
        UsageError: `batch`, `label` or `grid` is of the wrong type or out of range.
    """
    if not isinstance(batch, int) or batch < 1:
        raise UsageError(f"batch is {batch!r}; expected a whole number above 0.")
    label = check_labels(label, batch=batch, classes=prior.classes)
    grid = prior.grid if grid is None else check_size(grid, ndim=len(prior.grid), name="grid")
    if grid != prior.grid and not prior.any_grid:
        raise UnsupportedError(
            f"This prior walks grids of {named(prior.grid)} cells and was asked for {named(grid)}; leave that out."
        )
    codes = prior.served_codes[-1] if codes is None else codes
    if codes not in prior.served_codes:
        raise UnsupportedError(
            f"This prior models the first {listed(prior.served_codes)} codes of a cell and was asked for {codes!r}; "
            f"ask for one of these numbers."
        )
    state = prior.start(batch, label, codes=codes, grid=grid)
    taken = []
    for i in range(prod(grid) * codes):
        symbols = choose(prior.logits(state, i), i)
        prior.push(state, i, symbols)
        taken.append(symbols)
        progress(i + 1)
    in_order = torch.stack(taken, 1).view(batch, -1, codes)
    # Sorted by numpy: a test lists the operations of PyTorch that an exact prior may use, and sorting is none of them.
    places = torch.from_numpy(prior.order(grid).cpu().numpy().argsort())
    return in_order.index_select(1, places.to(in_order.device)).view(batch, *grid, codes)


def named(grid: tuple[int, ...]) -> str:
    """A grid for messages, as in "8 x 8"."""
    return " x ".join(map(str, grid))


def listed(numbers: tuple[int, ...]) -> str:
    """Numbers for messages, as in "1 or 2"."""
    return " or ".join(map(str, numbers))
