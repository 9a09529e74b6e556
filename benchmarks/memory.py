"""Memory that `nearest` takes beyond its inputs: `python -m benchmarks.memory N K` prints bytes.

It runs in a new process, because a process that has freed memory before reuses it without growing.
"""

import subprocess
import sys
from pathlib import Path

import torch

from codeword.training.environment import status_bytes

UNKNOWN = "unknown"


def growth_in_a_new_process(vectors: int, codewords: int) -> int | None:
    """Growth in bytes, or None where the system does not report it (it needs Linux or a GPU)."""
    answer = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", str(vectors), str(codewords)],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.strip()
    return None if answer == UNKNOWN else int(answer)


def growth(vectors: int, codewords: int) -> int | None:
    """Highest memory in use during one search minus the memory before it, in bytes; it includes the codes (N,)."""
    from benchmarks.nearest import data
    from codeword.quantizers import nearest

    z, codebook = data(vectors, codewords)
    # The first search also pays for threads and kernels, so one runs before the measurement. It is tiny, because the
    # memory that it frees could be reused without being counted.
    nearest(z[:8], codebook[:8])
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        nearest(z, codebook)
        return torch.cuda.max_memory_allocated() - before
    try:
        # Resets the kernel's record of the peak (proc(5), clear_refs, 5).
        Path("/proc/self/clear_refs").write_text("5")
        before = status_bytes("VmRSS")
        nearest(z, codebook)
        return max(0, status_bytes("VmHWM") - before)
    except OSError:
        return None


def main() -> None:
    vectors, codewords = map(int, sys.argv[1:])
    found = growth(vectors, codewords)
    print(UNKNOWN if found is None else found)


if __name__ == "__main__":
    main()
