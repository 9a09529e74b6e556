"""Models in folders and files: atomic writing, safetensors, the Hugging Face Hub. Nothing is unpickled."""

from codeword.store.files import *
from codeword.store.hub import *
from codeword.store.lock import *
from codeword.store.names import *
from codeword.store.pretrained import *
from codeword.store.tensors import *
