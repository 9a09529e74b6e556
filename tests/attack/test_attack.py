"""Damaged and forged input: refused in one sentence or read rightly, soon and in little memory."""

import pytest
from attack import archives, commands, media, models, pairs, recipes, tokens
from attack.engine import Reader, run

READERS = {
    reader.name: reader
    for part in (archives, pairs, models, tokens, media, recipes, commands)
    for reader in part.READERS
}
FEW = 400
PARTS = 4

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")


@pytest.fixture(params=READERS)
def reader(request: pytest.FixtureRequest) -> Reader:
    return READERS[request.param]


def check(failures: list[str]) -> None:
    assert not failures, f"{len(failures)} cases fail:\n" + "\n".join(failures[:20])


def test_a_few_hostile_inputs(reader: Reader, request: pytest.FixtureRequest) -> None:
    name, _, number = (request.config.getoption("--case") or "").partition(":")
    numbers = range(round(FEW * reader.share)) if not name else [int(number)] * (name == reader.name)
    check(run(reader, numbers))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_many_hostile_inputs(reader: Reader, part: int, request: pytest.FixtureRequest) -> None:
    count = round(request.config.getoption("--cases") * reader.share)
    check(run(reader, range(part, count, PARTS)))


def test_the_shares_are_all() -> None:
    assert sum(reader.share for reader in READERS.values()) == pytest.approx(1)
