"""Speed, as ratios against named peers measured in the same run: `python -m benchmarks [part ...]`.

Run from the root of the repository on a machine that does nothing else: two torch jobs slow each other up to
nine times. A ratio is a peer's time over ours, so 2 means twice as fast; both are medians of runs that take
turns (peer, ours, peer, ours, ...), so that a slow minute of the machine slows both.
"""
