"""`python -m codeword` is the command line."""

from codeword.cli import main

main()
