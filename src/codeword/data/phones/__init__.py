"""Phone alignments: read, written, and made from a recording and its transcript."""
