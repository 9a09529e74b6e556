"""Models and codes in folders and files: atomic writing, safetensors, .npz, Parquet, the Hub. Nothing is unpickled."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
