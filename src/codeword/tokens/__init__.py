"""Tokenization of whole data sets to Parquet shards, by several processes; an interrupted run can be continued."""

from codeword.tokens.inputs import list_items
from codeword.tokens.run import Summary, info_of, read_manifest, tokenize
from codeword.tokens.shards import Shard, ShardInfo, TokenRow, check_model, read_shard, shard_path, shard_paths

__all__ = [
    "Shard",
    "ShardInfo",
    "Summary",
    "TokenRow",
    "check_model",
    "info_of",
    "list_items",
    "read_manifest",
    "read_shard",
    "shard_path",
    "shard_paths",
    "tokenize",
]
