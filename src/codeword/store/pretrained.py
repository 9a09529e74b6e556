"""Models as folders: `config.json` and `model.safetensors`, written atomically.

A folder from an untrusted source is read in this order: the config is validated, the module is built without memory (on
the `meta` device), the name, shape and type of every tensor in the file's header is compared with it, and only then
are tensors loaded.
"""

from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from codeword.config import Config
from codeword.store.configs import FORMAT, read_config
from codeword.store.files import CONFIG_FILE, WEIGHTS_FILE, staged, write_json
from codeword.store.hub import locate, upload
from codeword.store.tensors import compacted, digest_tensors, read_tensors, write_tensors


class Pretrained(nn.Module):
    """A module that one config describes completely, stored in a folder or on the Hugging Face Hub.

    A subclass sets `config_class` and takes one such config as its only constructor argument. All of its state is in
    parameters and persistent buffers.
    """

    config_class: ClassVar[type[Config]]

    def __init__(self, config: Config) -> None:
        super().__init__()
        self._config = config

    def save_pretrained(self, folder: str | Path, *, compact: bool = False) -> None:
        """Write `model.safetensors` and then `config.json` into `folder`; a folder with a config is complete.

        `compact` takes a quarter of the space: large tensors are rounded to 8 bits per number, with a scale for each
        output.

        Raises:
            CodewordError: the folder cannot be written; an older model there is unchanged.
        """
        tensors = self.state_dict()
        if compact:
            # The only layers whose first axis is their inputs.
            transposed = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
            axes = {f"{name}.weight": 1 for name, part in self.named_modules() if isinstance(part, transposed)}
            tensors = compacted(tensors, axes)
        with staged(Path(folder)) as staging:
            write_json(staging / CONFIG_FILE, {"format": FORMAT, **self._config.model_dump(mode="json")})
            write_tensors(staging / WEIGHTS_FILE, tensors)

    @classmethod
    def from_pretrained(cls, folder_or_repo: str | Path) -> Self:
        """Load from a folder or a Hugging Face Hub repository, in evaluation mode on the CPU.

        Raises:
            ModelError: there is no model there, or it is not of this class.
        """
        folder = locate(folder_or_repo, (CONFIG_FILE, WEIGHTS_FILE))
        config = read_config(folder, cls.config_class)
        with torch.device("meta"), _NoInitialisation():
            model = cls(config)
        model.load_state_dict(read_tensors(folder / WEIGHTS_FILE, model.state_dict()), assign=True)
        return model.eval()

    @property
    def fingerprint(self) -> str:
        """SHA-256, as hex digits, of the config and of every tensor's name, type, shape and numbers.

        Two models with the same fingerprint are the same model, independent of where and how they are stored.
        """
        return digest_tensors(self._config.model_dump_json(), self.state_dict())

    def push_to_hub(self, repo: str, *, private: bool = False) -> str:
        """Upload to the Hugging Face Hub as `owner/name`, creating the repository if needed; returns its address.

        Raises:
            CodewordError: the Hub refuses the upload.
        """
        return upload(self.save_pretrained, repo, private=private)


class _NoInitialisation(TorchFunctionMode):
    """Leave new parameters as they are; on the meta device, `normal_` would import the compiler of torch (1 s)."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # The functions of torch.nn.init give their tensor to a mode by name.
        kwargs = kwargs or {}
        initialises = getattr(func, "__module__", "") == "torch.nn.init"
        return kwargs["tensor"] if initialises and "tensor" in kwargs else func(*args, **kwargs)
