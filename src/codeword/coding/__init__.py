"""Signals of any size to codes and back, in bounded memory: whole, streamed along one axis, or in tiles."""
