"""Media: the kinds of signal that have files, one row each, and the medium of a tokenizer or a file."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
