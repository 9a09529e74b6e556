"""Drawn pictures and synthetic speech: data sets that need no files."""
