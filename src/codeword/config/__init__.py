"""Recipes as frozen models that check themselves, tagged by `kind` where there is a choice.

A recipe is TOML (PyYAML would read `1e-4` as a string and `no` as False). Every part of Codeword is built from one of
these models, and `config.json` holds the same models.
"""

from codeword.config.adversarial import *
from codeword.config.base import *
from codeword.config.data import *
from codeword.config.perception import *
from codeword.config.prior import *
from codeword.config.quantizer import *
from codeword.config.reading import *
from codeword.config.recipe import *
from codeword.config.start import *
from codeword.config.targets import *
from codeword.config.tokenizer import *
from codeword.config.trunk import *
from codeword.config.writing import *
