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

    load, read, encode, decode      models, signals of files, codes
    compress, decompress            files; Codec, CompressOptions for signals in memory
    train, evaluate, report         a Recipe (load_recipe) to a Run, its measures, its page
    Model, Tokenizer                a tokenizer with its prior; signals to codes and back
    Prior, walk, Sampler            p(codes), and drawing from it (build_prior, load_prior)
    CodewordError                   UsageError, UnsupportedError, RecipeError, DataError, ModelError, TrainingError

`help(codeword.encode)` shows one of them. Everything is imported when it is first used, so that `import codeword` costs
nothing.
"""

import lazy_loader

__version__ = "0.2.0"

# Without `__all__`, for which `help` would show every line of every class.
__getattr__, __dir__, _ = lazy_loader.attach_stub(__name__, __file__)
