"""Changes of valid inputs: of their bytes, and of the trees that their headers hold."""

import json
import random
from typing import Any

EXTREMES = [0, 1, 2, 3, 127, 128, 255, 1 << 15, (1 << 16) - 1, 1 << 16, 1 << 20, (1 << 31) - 1, 1 << 31]
EXTREMES += [(1 << 32) - 1, 1 << 40, (1 << 62), (1 << 63) - 1, 1 << 63, (1 << 64) - 1]
NAMES = [
    "", ".", "..", "../../x", "/x", "a/../../../x", "~/x", "x\0y", "con", "x" * 300, "x" * 5000, "\x1b[2Jx", "a\nb",
    "é", "e\u0301", "\u202egnp.x", "\udc80x", "-x", "--out", "a\\b", "C:\\x", "x/", "//x", "x.cw", "x.wav/y.wav",
]  # fmt: skip
_NUMBERS: list[Any] = [*EXTREMES, *(-n for n in EXTREMES), 0.5, -0.0, 1e308, 1e-320, 10**4000]
_OTHERS: list[Any] = [None, True, False, "", "0", "16", "nan", *NAMES, [], [1], [4] * 70, [[]], {}, {"kind": "uniform"}]
VALUES: list[Any] = [*_NUMBERS, *_OTHERS]
MOST_BYTES = 1 << 21


def mutated(rng: random.Random, content: bytes, other: bytes = b"") -> bytes:
    """One to three changes; `other` is a second valid input, of which pieces may be taken."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        content = rng.choice(_CHANGES)(rng, content or b"\0", other or content or b"\0")
    return content


def _flip(rng: random.Random, content: bytes, other: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 9])):
        changed[_place(rng, content)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(rng: random.Random, content: bytes, other: bytes) -> bytes:
    return content[: _place(rng, content)] if rng.random() < 0.8 else content[_place(rng, content) :]


def _zero(rng: random.Random, content: bytes, other: bytes) -> bytes:
    start, stop = _range(rng, content)
    return content[:start] + rng.choice([b"\0", b"\xff"]) * (stop - start) + content[stop:]


def _delete(rng: random.Random, content: bytes, other: bytes) -> bytes:
    start, stop = _range(rng, content)
    return content[:start] + content[stop:]


def _insert(rng: random.Random, content: bytes, other: bytes) -> bytes:
    place, (start, stop) = _place(rng, content), _range(rng, content)
    return content[:place] + rng.choice([rng.randbytes(rng.randrange(1, 40)), content[start:stop]]) + content[place:]


def _swap(rng: random.Random, content: bytes, other: bytes) -> bytes:
    a, b, c = sorted(_place(rng, content) for _ in range(3))
    return content[:a] + content[b:c] + content[a:b] + content[c:]


def _splice(rng: random.Random, content: bytes, other: bytes) -> bytes:
    """The beginning of one file and the end of the other, or a piece of the other inside."""
    place, (start, stop) = _place(rng, content), _range(rng, other)
    return content[:place] + (other[start:] if rng.random() < 0.5 else other[start:stop] + content[place:])


def _number(rng: random.Random, content: bytes, other: bytes) -> bytes:
    """An extreme number over any place."""
    width, place = rng.choice([1, 2, 4, 4, 8]), _place(rng, content)
    number = (rng.choice(EXTREMES) % (1 << 8 * width)).to_bytes(width, rng.choice(["little", "big"]))
    return content[:place] + number + content[place + width :]


def _grow(rng: random.Random, content: bytes, other: bytes) -> bytes:
    """Up to megabytes, so that what takes more than linear time shows."""
    if rng.random() < 0.9:
        return _number(rng, content, other)
    start, stop = _range(rng, content)
    piece = content[start:stop] or b"\0"
    length = rng.choice([1 << 14, 1 << 17, MOST_BYTES])
    return content[:stop] + piece * (length // len(piece)) + content[stop:]


_CHANGES = [_flip, _flip, _cut, _zero, _delete, _insert, _swap, _splice, _number, _number, _grow]


def _place(rng: random.Random, content: bytes) -> int:
    """Any place, half of them where headers usually lie: at the beginning or at the end."""
    last = len(content) - 1
    near = min(last, int(rng.expovariate(1 / 60)))
    return rng.choice([rng.randint(0, last), rng.randint(0, last), near, last - near])


def _range(rng: random.Random, content: bytes) -> tuple[int, int]:
    start, length = _place(rng, content), rng.choice([1, 2, 4, 8, rng.randrange(1, 200), rng.randint(1, len(content))])
    return start, min(len(content), start + length)


def another(rng: random.Random, tree: Any, values: list[Any] = VALUES) -> Any:
    """The tree with something in it changed, taken out, added or doubled."""
    if isinstance(tree, dict) and tree and rng.random() < 0.9:
        changed, key = dict(tree), rng.choice(sorted(tree))
        match rng.randrange(12):
            case 0:
                del changed[key]
            case 1:
                changed[rng.choice([key + "x", key.upper(), *NAMES])] = tree[key]
            case 2:
                changed[key] = tree[rng.choice(sorted(tree))]
            case _:
                changed[key] = another(rng, tree[key], values)
        return changed
    if isinstance(tree, list | tuple) and tree and rng.random() < 0.7:
        items, place = list(tree), rng.randrange(len(tree))
        return [*items[:place], another(rng, items[place], values), *items[place + rng.randrange(2) :]]
    if rng.random() < 0.02:
        return deep(rng, tree)
    if isinstance(tree, int) and abs(tree) < 1 << 64 and rng.random() < 0.3:
        return rng.choice([tree + 1, tree - 1, tree * 2, -tree, float(tree), str(tree), bool(tree)])
    return rng.choice(values)


def deep(rng: random.Random, tree: Any) -> Any:
    for _ in range(rng.choice([10, 90])):
        tree = [tree] if rng.random() < 0.5 else {"x": tree}
    return tree


def as_json(rng: random.Random, tree: Any) -> bytes:
    """JSON, sometimes with what only lenient readers take."""
    text = json.dumps(tree, ensure_ascii=rng.random() < 0.5)
    match rng.randrange(40):
        case 0:
            text = text.replace("}", rng.choice([', "x": NaN}', ', "x": 1e999}', ', "format": 2}', ",}"]), 1)
        case 1:
            text = rng.choice(["[", '{"a":', "-"]) * rng.choice([50, 100_000]) + text
        case 2:
            text = "\ufeff" + text
        case 3:
            return text.encode(rng.choice(["utf-16", "utf-32"]), "surrogatepass")
    return text.encode("utf-8", "surrogatepass")
