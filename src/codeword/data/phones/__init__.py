"""Phone alignments: reading, writing, and computing them from a recording and its transcript."""
