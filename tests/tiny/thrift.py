"""Integers as Thrift writes them in the headers and the footer of a Parquet file."""


def varint(number: int) -> bytes:
    """An unsigned number in groups of seven bits, the lowest first; a signed number goes through zigzag before."""
    groups = [number & 127]
    while number := number >> 7:
        groups.append(number & 127)
    return bytes([*(group | 128 for group in groups[:-1]), groups[-1]])
