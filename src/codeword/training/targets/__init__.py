"""Targets that an encoder learns before the decoder is trained."""

from codeword.training.targets.lesson import Lesson, build_lesson

__all__ = ["Lesson", "build_lesson"]
