"""Alignment of many recordings with the phones of their transcripts."""

from collections.abc import Callable
from pathlib import Path

from codeword.data.phones.alignment import Phone, align, write_alignments
from codeword.data.phones.transcripts import transcript_of
from codeword.errors import DataError, UsageError
from codeword.files import Outcome, check_outputs, media_files
from codeword.media import MEDIA


def align_files(
    inputs: list[Path], out: Path, *, transcript: str | None, force: bool, progress: Callable[[int, int], None]
) -> Outcome:
    """Write the phones of recordings into one file; results are the number of phones of each.

    The words are `transcript`, a .txt next to the recording, or its line of a *.trans.txt there, as in LibriSpeech.
    Recordings that are aligned before an interrupt are written. With `force` an existing file is replaced.
    """
    outcome = Outcome()
    files = media_files(inputs, outcome, MEDIA["audio"])
    check_outputs([out], inputs=[path for path, _ in files], force=force)
    if transcript is not None and len(files) + len(outcome.failures) > 1:
        raise UsageError(
            "--transcript is for one recording; put the words of each one into a .txt of the same name next to it."
        )
    alignments: dict[str, tuple[Phone, ...]] = {}
    try:
        for count, (path, _) in enumerate(files, start=1):
            # Only a DataError concerns one recording; without an aligner none can be aligned.
            with outcome.record_failure(path, DataError):
                if path.stem in alignments:
                    raise DataError(f"{path}: another recording is called {path.stem} too; give one another name.")
                if not path.stem.isprintable():
                    raise DataError(f"{path}: a file of alignments cannot hold this name; rename the recording.")
                words = transcript_of(path) if transcript is None else transcript
                alignments[path.stem] = align(path, words)
                outcome.results[str(path)] = {"phones": len(alignments[path.stem])}
            progress(count, len(files))
    finally:
        if alignments:
            write_alignments(out, alignments, replace=force)
    return outcome
