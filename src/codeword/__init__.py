"""Codeword: discrete codes of images and audio.

    >>> import codeword, torch
    >>> model = codeword.load("images")
    >>> codes = codeword.encode(model, torch.zeros(3, 60, 50, dtype=torch.uint8))
    >>> codes.shape
    torch.Size([15, 13, 1])
    >>> codeword.decode(model, codes, size=(60, 50)).shape
    torch.Size([3, 60, 50])

    run = codeword.train("demo-images", "runs/demo")
    codeword.evaluate(run).metrics["total_bpd"].value
    codeword.compress(["photo.jpg"], "photo.cw")
    codeword.decompress("photo.cw", "photo.png")

Everything here is imported when it is first used, so that `import codeword` costs nothing.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
