"""Spectra: short-time Fourier transforms, mel bands and cepstra, and losses between spectra."""
