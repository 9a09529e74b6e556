"""Comparison of settings: one run for each combination of values, and one table of all."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
