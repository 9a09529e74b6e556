"""A page in the browser, and a JSON interface, to look at what a model does: `codeword serve`."""
