"""Commands on many files at a time: compress, reconstruct, encode to codes, decode.

A file that cannot be used becomes a failure in the outcome, and the command continues with the other files.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
