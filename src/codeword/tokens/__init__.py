"""Tokenization of whole data sets to Parquet shards, by several processes; an interrupted run can be continued."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
