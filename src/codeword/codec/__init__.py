"""Real files: entropy-coded codes in a container that another machine can read back."""
