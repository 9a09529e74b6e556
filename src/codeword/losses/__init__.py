"""Losses that are no likelihoods: how signals differ to an ear."""
