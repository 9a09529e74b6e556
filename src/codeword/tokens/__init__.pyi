from .run import Summary as Summary
from .run import info_of as info_of
from .run import read_manifest as read_manifest
from .run import tokenize as tokenize
