"""Phones in time: the formats they come in, and the aligner that finds them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from codeword.data.phones.alignment import Phone, align, phone_at, read_alignments, write_alignments
from codeword.data.phones.pronunciation import pronounce
from codeword.errors import DataError

UTTERANCE = st.lists(st.tuples(st.sampled_from(["AH", "SIL", "NG"]), st.integers(0, 9), st.integers(1, 99)))


def laid_out(units: list[tuple[str, int, int]]) -> tuple[Phone, ...]:
    """Phones from (name, gap before, length), both in frames."""
    phones, frame = [], 0
    for name, gap, length in units:
        phones.append(Phone(name, (frame + gap) / 100, (frame + gap + length) / 100))
        frame += gap + length
    return tuple(phones)


@given(st.dictionaries(st.from_regex(r"[a-z0-9-]{1,12}", fullmatch=True), UTTERANCE.map(laid_out)))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, alignments: dict[str, tuple[Phone, ...]]
) -> None:
    path = tmp_path_factory.mktemp("alignments") / "phones.txt"
    write_alignments(path, alignments)
    assert read_alignments(path) == alignments


@given(UTTERANCE.map(laid_out), st.floats(-1, 60))
def test_the_phone_at_a_time_is_the_one_around_it(phones: tuple[Phone, ...], time_s: float) -> None:
    around = [p.name for p in phones if p.start_s <= time_s < p.end_s]
    assert phone_at(phones, time_s) == (around[0] if around else "SIL")


LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 1.5
tiers? <exists>
size = 3
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 1.5
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 1.5
            text = "say ""hé"" 3 times"
    item [2]:
        class = "TextTier"
        name = "notes"
        xmin = 0
        xmax = 1.5
        points: size = 1
        points [1]:
            number = 0.7
            mark = "here"
    item [3]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 1.5
        intervals: size = 4
        intervals [1]:
            xmin = 0
            xmax = 0.25
            text = ""
        intervals [2]:
            xmin = 0.25
            xmax = 1.0
            text = "HH"
        intervals [3]:
            xmin = 1.0
            xmax = 1.25
            text = "EH1"
        intervals [4]:
            xmin = 1.25
            xmax = 1.5
            text = "spn"
"""
SHORT = """File type = "ooTextFile"
Object class = "TextGrid"

0
1.5
<exists>
1
"IntervalTier"
"phones"
0
1.5
4
0
0.25
"sil"
0.25
1
"HH"
1
1.25
"EH0"
1.25
1.5
"sp"
"""
GRID = (Phone("SIL", 0, 0.25), Phone("HH", 0.25, 1), Phone("EH", 1, 1.25), Phone("SIL", 1.25, 1.5))


@pytest.mark.parametrize("text", [LONG, SHORT])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_textgrids_are_read_alone_and_by_the_folder(text: str, encoding: str, tmp_path: Path) -> None:
    (tmp_path / "speaker").mkdir()
    path = tmp_path / "speaker" / "one.TextGrid"
    path.write_bytes(text.encode(encoding))
    assert read_alignments(path) == read_alignments(tmp_path) == {"one": GRID}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.txt", "one\ttrans\t3\tAH 0 3\nnonsense\n", "x.txt, line 2 is no alignment"),
        ("x.txt", "one\ttrans\t3\tAH 0\n", "line 1 is no alignment"),
        ("x.txt", "one\ttrans\t3\tAH 0 b\n", "line 1 is no alignment"),
        ("x.TextGrid", LONG[:-20], "is not a complete TextGrid"),
        ("x.TextGrid", "hello", "is not a complete TextGrid"),
        ("x.TextGrid", SHORT.replace("phones", "words"), 'has no interval tier "phones"'),
    ],
)
def test_what_is_no_alignment_is_one_sentence(name: str, content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=said):
        read_alignments(tmp_path / name)


def test_nothing_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="codeword align"):
        read_alignments(tmp_path / "gone.txt")
    with pytest.raises(DataError, match=r"holds no \.TextGrid"):
        read_alignments(tmp_path)
    (tmp_path / "x.txt").write_bytes(b"\x80\x81")
    with pytest.raises(DataError, match="cannot be read as text"):
        read_alignments(tmp_path / "x.txt")


def test_unknown_words_are_said_by_their_parts() -> None:
    known = {"north": "N AO R TH", "anger": "AE NG G ER", "heroine": "HH EH R OW AH N", "nor": "N AO R"}
    assert pronounce("northanger", known.get) == "N AO R TH AE NG G ER"
    assert pronounce("heroine's", known.get) == "HH EH R OW AH N Z"
    assert pronounce("zig", known.get) == "Z IH G"
    assert pronounce("1984", known.get) is None


def test_aligning_needs_words_that_are_said(tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx")
    path = tmp_path / "x.wav"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.01, 16_000), 16_000)
    with pytest.raises(DataError, match="pronunciation of '1984'"):
        align(path, "IN 1984")
    with pytest.raises(DataError, match="has no words"):
        align(path, " ... ")
    with pytest.raises(DataError, match="check that it contains the spoken words"):
        align(path, "A SECOND IS FAR TOO SHORT FOR ALL THE LONG AND WINDING WORDS AS THESE " * 3)
