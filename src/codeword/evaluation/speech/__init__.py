"""Measuring speech: what is understood, how it sounds, who speaks, and what its codes know of phones."""

from codeword.evaluation.speech.recordings import measure_recordings

__all__ = ["measure_recordings"]
