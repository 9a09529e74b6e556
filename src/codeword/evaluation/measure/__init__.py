"""Measures of images and of speech, each with its interval over signals."""
