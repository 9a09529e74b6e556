"""Pronunciations of English words that are not in a dictionary, composed of words that are in it."""

from collections.abc import Callable

# The most frequent sound of each group of letters. Each part of a word has a cost, so longer groups are preferred.
_SOUNDS = {
    "a": "AE", "b": "B", "c": "K", "d": "D", "e": "EH", "f": "F", "g": "G", "h": "HH", "i": "IH", "j": "JH",
    "k": "K", "l": "L", "m": "M", "n": "N", "o": "AA", "p": "P", "q": "K", "r": "R", "s": "S", "t": "T",
    "u": "AH", "v": "V", "w": "W", "x": "K S", "y": "IY", "z": "Z", "'": "",
    "ai": "EY", "au": "AO", "aw": "AO", "ay": "EY", "ch": "CH", "ck": "K", "ea": "IY", "ee": "IY", "er": "ER",
    "ew": "UW", "gh": "", "ie": "IY", "ng": "NG", "oa": "OW", "oi": "OY", "oo": "UW", "or": "AO R", "ou": "AW",
    "ow": "OW", "ph": "F", "qu": "K W", "sh": "SH", "th": "TH", "tion": "SH AH N", "ture": "CH ER",
}  # fmt: skip
_ENDINGS = {
    "able": "AH B AH L", "al": "AH L", "e": "", "ed": "D", "ence": "AH N S", "es": "IH Z", "est": "IH S T",
    "ful": "F AH L", "ing": "IH NG", "ish": "IH SH", "ity": "IH T IY", "less": "L AH S", "ly": "L IY",
    "ment": "M AH N T", "ness": "N AH S", "ous": "AH S", "s": "Z", "'s": "Z",
}  # fmt: skip

_SHORTEST_PART = 3
_LETTERS_COST = 1.5


def pronounce(word: str, look_up: Callable[[str], str | None]) -> str | None:
    """Phones, separated by spaces, of a lower-case word, or None if a character, such as a digit, has no sound.

    The word is divided into parts of the lowest total cost: words of the dictionary, endings and groups of letters.
    `look_up` returns the phones of a word in the dictionary, or None.
    """
    # best[n] holds the lowest cost of the first n letters, and their phones.
    best: list[tuple[float, str] | None] = [(0.0, ""), *[None] * len(word)]
    for stop in range(1, len(word) + 1):
        for start in range(stop):
            before = best[start]
            part = _part(word, start, stop, look_up)
            if before is None or part is None:
                continue
            cost, phones = before[0] + part[0], f"{before[1]} {part[1]}".strip()
            if best[stop] is None or cost < best[stop][0]:  # type: ignore[index]
                best[stop] = (cost, phones)
    return best[-1][1] or None if best[-1] else None


def _part(word: str, start: int, stop: int, look_up: Callable[[str], str | None]) -> tuple[float, str] | None:
    """Cost and phones of `word[start:stop]`, or None if it is no part."""
    letters = word[start:stop]
    if stop == len(word) and start > 0 and letters in _ENDINGS:
        return 1.0, _ENDINGS[letters]
    if len(letters) >= _SHORTEST_PART and (phones := look_up(letters)) is not None:
        return 1.0, phones
    return (_LETTERS_COST, _SOUNDS[letters]) if letters in _SOUNDS else None
