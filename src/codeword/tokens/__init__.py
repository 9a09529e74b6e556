"""Whole data sets as codes, in Parquet shards that other trainers read; written by many processes, after any kill."""

from codeword.tokens.export import Summary, tokenize
from codeword.tokens.inputs import list_items
from codeword.tokens.shards import Shard, ShardInfo, TokenRow, read_shard, shard_paths

__all__ = ["Shard", "ShardInfo", "Summary", "TokenRow", "list_items", "read_shard", "shard_paths", "tokenize"]
