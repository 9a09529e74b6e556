"""Targets that an encoder learns before the decoder is trained."""
