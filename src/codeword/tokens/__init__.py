"""Whole data sets as codes, in Parquet shards that other trainers read; written by several processes, safe to kill."""

from codeword.tokens.inputs import list_items
from codeword.tokens.run import Summary, info_of, read_manifest, tokenize
from codeword.tokens.shards import Shard, ShardInfo, TokenRow, must_be_codes_of, read_shard, shard_path, shard_paths

__all__ = [
    "Shard",
    "ShardInfo",
    "Summary",
    "TokenRow",
    "info_of",
    "list_items",
    "must_be_codes_of",
    "read_manifest",
    "read_shard",
    "shard_path",
    "shard_paths",
    "tokenize",
]
