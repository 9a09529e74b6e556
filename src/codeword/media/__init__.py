"""Signals on disk: reading and writing them as integer tensors."""
