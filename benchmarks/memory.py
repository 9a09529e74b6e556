"""How much memory `nearest` takes beyond its inputs: `python -m benchmarks.memory N K` prints bytes.

In a process of its own, because one that has freed memory before gives it out again without growing.
"""

import subprocess
import sys
from pathlib import Path

import torch

UNKNOWN = "unknown"


def growth_in_a_new_process(vectors: int, codewords: int) -> int | None:
    """Bytes, or None where the system does not tell (it takes Linux, or a GPU)."""
    answer = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", str(vectors), str(codewords)],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.strip()
    return None if answer == UNKNOWN else int(answer)


def growth(vectors: int, codewords: int) -> int | None:
    """Highest memory in use during one search less that before it, in bytes; the codes (N,) are in it."""
    from benchmarks.nearest import data
    from codeword.quantizers import nearest

    z, codebook = data(vectors, codewords)
    # Threads and kernels are there from the first search on, and are not its cost. A tiny one, because
    # what it frees could be used again unseen.
    nearest(z[:8], codebook[:8])
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        nearest(z, codebook)
        return torch.cuda.max_memory_allocated() - before
    try:
        # Makes the kernel forget the highest so far (proc(5), clear_refs, 5).
        Path("/proc/self/clear_refs").write_text("5")
        before = _status_bytes("VmRSS")
        nearest(z, codebook)
        return max(0, _status_bytes("VmHWM") - before)
    except OSError:
        return None


def _status_bytes(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name}")


def main() -> None:
    vectors, codewords = map(int, sys.argv[1:])
    found = growth(vectors, codewords)
    print(UNKNOWN if found is None else found)


if __name__ == "__main__":
    main()
