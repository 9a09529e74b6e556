"""Nearest-codeword search in bounded memory."""

import torch
from torch import Tensor

from codeword.linear import linear

# Rows of vectors and of codewords in one block. On a CPU a block of distances (4 MiB) stays in the cache between the
# product and the minimum, which limits the speed of the search; a GPU is faster with larger blocks.
TILES = {"cpu": (512, 2048), "cuda": (16384, 8192)}
LANES = 64


@torch.no_grad()
def nearest(z: Tensor, codebook: Tensor, *, costs: Tensor | None = None) -> Tensor:
    """Index of the nearest codeword by Euclidean distance: z (N, D), codebook (K, D) to codes (N,) int64.

    With `costs` (K,), the squared distance plus the cost of the codeword is the least.

    Never holds N x K distances, except in an exported graph, whose N is a symbol. Always computed in float32: in half
    precision, features that share an offset get a large part of their codewords wrong.
    """
    if torch.compiler.is_exporting():
        return (_half_norms(codebook, costs) - z @ codebook.t()).argmin(-1)
    rows, columns = TILES.get(z.device.type, TILES["cuda"])
    with torch.autocast(z.device.type, enabled=False):
        z, codebook = z.float(), codebook.float()
        # |z - e|^2 = |z|^2 + 2 (|e|^2 / 2 - z.e), and |z|^2 does not change which codeword is nearest.
        half_norms = _half_norms(codebook, costs)
        blocks = list(zip(half_norms.split(columns), (-codebook).split(columns), strict=True))
        codes = torch.empty(len(z), dtype=torch.int64, device=z.device)
        for first in range(0, len(z), rows):
            tile = z[first : first + rows]
            minima = (_row_minimum(linear(tile, opposites, norms)) for norms, opposites in blocks)
            best, found = next(minima)
            for start, (distance, index) in enumerate(minima, start=1):
                closer = distance < best
                best, found = torch.where(closer, distance, best), torch.where(closer, index + start * columns, found)
            codes[first : first + rows] = found
    return codes


def _half_norms(codebook: Tensor, costs: Tensor | None) -> Tensor:
    norms = codebook.square().sum(1)
    return (norms if costs is None else norms + costs) / 2


def _row_minimum(distances: Tensor) -> tuple[Tensor, Tensor]:
    """The minimum of each row of distances (N, K) and its index: (N,) and (N,)."""
    size = distances.shape[1]
    if size % LANES or size == LANES:
        # `argmin` is several times slower than `min` on a CPU.
        least = distances.min(1)
        return least.values, least.indices
    # A minimum is vectorised only without its index. So first the minimum of each lane (every 64th
    # distance), then the lane of the minimum, and only then the index within that lane.
    lanes = distances.view(len(distances), -1, LANES)
    best, lane = lanes.amin(1).min(1)
    inside = lanes.gather(2, lane.view(-1, 1, 1).expand(-1, lanes.shape[1], 1)).squeeze(2)
    return best, inside.min(1).indices * LANES + lane
