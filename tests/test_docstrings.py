"""The examples in docstrings run."""

import doctest
import importlib
import os
from pathlib import Path

import pytest

MODULES = [
    "codeword.config.reading",
    "codeword.evaluation.measure.features",
    "codeword.likelihoods.base",
    "codeword.model",
    "codeword.nn.classifier",
    "codeword.nn.features",
    "codeword.priors.base",
    "codeword.priors.sampler",
    "codeword.quantizers.base",
    "codeword.tokenizer",
    "codeword.training.run",
    "codeword.training.stages",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    tests = [test for test in doctest.DocTestFinder(exclude_empty=True).find(module, name) if test.examples]
    assert tests, f"{name} has no examples"
    for test in tests:
        output: list[str] = []
        runner.run(test, out=output.append)
        assert not output, "".join(output)
    assert not os.listdir(tmp_path)
