"""Two processes share one codebook: what they learn is what one process learns from both their data."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import load_file, save_file

from codeword.config import DynamicSizeConfig, VectorQuantizerConfig
from codeword.quantizers import VectorQuantizer

FIXED = VectorQuantizerConfig(codebook_sizes=(16,), dim=4, init="uniform", decay=0.9, revive_below=0.0)
REVIVED = FIXED.model_copy(update={"revive_below": 0.2})
GROWN, PRICED = (
    FIXED.model_copy(update={"size": DynamicSizeConfig(start=start, every=2, **target)})
    for start, target in ((4, {"rate_bits": 3.5}), (16, {"price": 0.2}))
)


def learned(rank: int, ranks: int, config: VectorQuantizerConfig) -> dict[str, torch.Tensor]:
    """The quantizer's state after some steps, each of which reads this rank's share of the same data."""
    torch.manual_seed(0)
    quantizer = VectorQuantizer(config)
    for step in range(8):
        z = torch.randn(64, 4, generator=torch.Generator().manual_seed(step)) + 2
        # Each rank draws differently, as in training; revival must agree all the same.
        quantizer(z[rank::ranks], generator=torch.Generator().manual_seed(100 * step + rank))
    return quantizer.state_dict()


def one_of_two(rank: int, folder: str, config: VectorQuantizerConfig) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    save_file(learned(rank, 2, config), f"{folder}/{rank}.safetensors")
    dist.destroy_process_group()


@pytest.mark.parametrize("config", [FIXED, REVIVED, GROWN, PRICED], ids=["fixed", "revived", "grown", "priced"])
def test_two_ranks_hold_one_codebook(config: VectorQuantizerConfig, tmp_path: Path) -> None:
    mp.spawn(one_of_two, (str(tmp_path), config), nprocs=2)
    first, second = (load_file(tmp_path / f"{rank}.safetensors") for rank in (0, 1))
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    alone = learned(0, 1, config)
    # Revival draws from the vectors of the first rank.
    if config.revive_below == 0:
        torch.testing.assert_close(first, dict(alone), atol=1e-5, rtol=1e-4)
