"""WaveNet over a sequence of codes, with an exact parallel log-probability and a cached walk."""

from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from codeword.config import PriorModelConfig, WaveNetConfig
from codeword.errors import RecipeError
from codeword.nn.dilated import DilatedStack, DilatedWalk, delay
from codeword.priors.base import Prior
from codeword.priors.cell import CellPrior
from codeword.priors.exact_wavenet import ExactWaveNet
from codeword.priors.state import CellState


@dataclass(kw_only=True)
class WaveNetState(CellState):
    """The network's walk, and its features (B, S) for the next cell."""

    walk: DilatedWalk
    features: Tensor


class WaveNet(CellPrior):
    """Dilated causal layers over a sequence of cells of any length (van den Oord et al. 2016, WaveNet).

    `grid` is only the default length for sampling. The input is shifted by one, so that a cell sees the
    `stack.receptive_field` cells before it and not itself. A label is global conditioning (sec. 2.5 there).

    Raises:
        RecipeError: the codes have more than one axis.
    """

    any_grid: ClassVar[bool] = True

    def __init__(self, config: PriorModelConfig) -> None:
        architecture = config.architecture
        assert isinstance(architecture, WaveNetConfig)
        if len(config.grid) != 1:
            raise RecipeError(
                f"A wavenet prior is for codes on one axis, but these lie on a grid of "
                f'{" x ".join(map(str, config.grid))}; set prior.kind="pixelcnn".'
            )
        width = architecture.width
        super().__init__(config, width=width, features=architecture.skip_width, head_width=architecture.head_width)
        self.stack = DilatedStack(
            architecture.dilations, width=width, skip_width=architecture.skip_width, condition=width
        )
        self.label_embedding = nn.Embedding(self.classes + 1, width)
        nn.init.zeros_(self.label_embedding.weight)

    def exact(self) -> Prior:
        return ExactWaveNet(self)

    def _cell_features(self, embedded: Tensor, label: Tensor) -> Tensor:
        h = delay(embedded, 1)
        return cast(Tensor, self.stack(h, condition=self.label_embedding(label)))

    def start(
        self, batch: int, label: Tensor | None = None, *, codes: int | None = None, grid: tuple[int, ...] | None = None
    ) -> WaveNetState:
        condition = self.label_embedding(self._label(label, batch))
        walk = DilatedWalk(self.stack, batch, condition=condition)
        nothing = torch.zeros(batch, self.stack.width, device=condition.device)
        return WaveNetState(codes=codes or len(self.codebook_sizes), walk=walk, features=walk.step(nothing))

    def _walk_cell(self, state: CellState, cell: int) -> Tensor:
        return cast(WaveNetState, state).features

    def _enter(self, state: CellState, cell: int, embedded: Tensor) -> None:
        state = cast(WaveNetState, state)
        state.features = state.walk.step(embedded)
