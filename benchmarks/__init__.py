"""Speed, as ratios against named peers measured in the same run: `python -m benchmarks [part ...]`.

Run it from the root of the repository on an idle machine: two torch jobs slow each other down up to nine times. A
ratio is the peer's time divided by ours, so 2 means twice as fast; both are medians of interleaved runs (peer, ours,
peer, ours, ...), so that a slow minute of the machine slows both.
"""
