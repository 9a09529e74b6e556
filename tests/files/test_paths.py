"""Inputs and outputs: no two signals share a name, and nothing that exists is replaced."""

import os
from pathlib import Path

import pytest

from codeword.errors import UsageError
from codeword.files import Outcome, Targets, check_outputs, media_files
from codeword.files.paths import load_for
from codeword.media import MEDIA


def write(root: Path, *names: str) -> list[Path]:
    """Files with their names as content."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return [root / name for name in names]


def names_of(*inputs: Path) -> list[str]:
    outcome = Outcome()
    names = [name for _, name in media_files(inputs, outcome, MEDIA["images"])]
    assert not outcome.failures
    return names


def test_names_are_short_where_they_differ_and_keep_their_folders_where_not(tmp_path: Path) -> None:
    ax, ay, bx = write(tmp_path, "a/x.png", "a/y.png", "b/x.png")
    assert names_of(ax) == ["x.png"]
    assert names_of(ay, bx) == ["y.png", "x.png"]
    assert names_of(ax, bx) == ["a/x.png", "b/x.png"]
    assert names_of(tmp_path / "a", tmp_path / "b") == ["a/x.png", "a/y.png", "b/x.png"]
    assert names_of(tmp_path) == ["a/x.png", "a/y.png", "b/x.png"]


def test_a_file_that_is_given_twice_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a/x.png", "a/y.png")
    monkeypatch.chdir(tmp_path)
    assert names_of(Path("a/y.png"), Path("a"), tmp_path / "a" / "x.png", Path("a/../a/x.png")) == ["y.png", "x.png"]


def test_linked_folders_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    write(tmp_path, "all/ann/1.png", "all/bob/2.png")
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "ann").symlink_to(tmp_path / "all" / "ann")
    (tmp_path / "some" / "again").symlink_to("ann")
    (tmp_path / "all" / "bob" / "up").symlink_to(tmp_path)
    (tmp_path / "all" / "bob" / "here").symlink_to(".")
    assert names_of(tmp_path / "some") == ["again/1.png", "ann/1.png"]
    assert names_of(tmp_path) == ["all/ann/1.png", "all/bob/2.png", "some/again/1.png", "some/ann/1.png"]
    assert names_of(tmp_path / "all" / "bob") == [
        "2.png", "up/all/ann/1.png", "up/some/again/1.png", "up/some/ann/1.png",
    ]  # fmt: skip


def test_what_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "in/a.png")
    (tmp_path / "in" / "gone").symlink_to("nowhere")
    (tmp_path / "in" / "itself").symlink_to("itself")
    # A path that is too long stands for a folder without permission, because the superuser has all permissions.
    monkeypatch.chdir(tmp_path / "in")
    for _ in range(17):
        os.mkdir("d" * 250)
        os.chdir("d" * 250)
    os.chdir(tmp_path)
    outcome = Outcome()
    assert [name for _, name in media_files([tmp_path / "in"], outcome, MEDIA["images"])] == ["a.png"]
    reasons = {Path(path).name[:6]: message for path, message in outcome.failures.items()}
    assert reasons.keys() == {"gone", "itself", "dddddd"}
    assert "is a link that leads nowhere" in reasons["gone"]
    assert "cannot be listed (File name too long)" in reasons["dddddd"]


def test_images_and_recordings_together_need_a_model(tmp_path: Path) -> None:
    image, recording = write(tmp_path, "a.png", "b.wav")
    for inputs in ([image, recording], [tmp_path]):
        with pytest.raises(UsageError, match=r"The inputs are images \(.*a.png\) and recordings \(.*b.wav\)"):
            load_for(inputs, None)
    assert load_for([tmp_path], "images").tokenizer.config.ndim == 2


def test_a_folder_without_media_is_said(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(
        UsageError, match="The inputs hold no images and no recordings and no grids of tokens; give others"
    ):
        load_for([tmp_path], None)


def test_outputs_differ_even_if_names_differ_in_suffixes_only(tmp_path: Path) -> None:
    names = ["x.jpg", "x.png", "y.jpg", "z.gif", "z.jpg", "z.gif.png", "d/x.tif", "x\\xff.jpg"]
    targets = Targets(tmp_path, ".png", names)
    found = [os.fsencode(targets.path(name).relative_to(tmp_path)) for name in names]
    assert found == [
        b"x.jpg.png", b"x.png", b"y.png", b"z.gif.png", b"z.jpg.png", b"z.gif-2.png", b"d/x.png", b"x\xff.png",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["../up.png", "/tmp/x.png", "a/../../x.png", "", ".", "a\0.png"])
def test_names_lead_nowhere_else(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a path inside"):
        Targets(tmp_path, ".png", [name]).path(name)


def test_existing_outputs_are_refused_and_inputs_always(tmp_path: Path) -> None:
    photo, other = write(tmp_path, "photo.png", "other.png")
    with pytest.raises(UsageError, match="exists already"):
        Targets(tmp_path, ".png", ["photo.jpg"], inputs=[other])
    assert Targets(tmp_path, ".png", ["photo.jpg"], inputs=[other], force=True).path("photo.jpg") == photo
    for out in (Path("-"), Path("-/a.png")):
        with pytest.raises(UsageError, match="write to standard output; give a path"):
            check_outputs([out], force=True)
    (tmp_path / "link.png").symlink_to(photo)
    for force in (False, True):
        with pytest.raises(UsageError, match="is an input, which would be overwritten"):
            check_outputs([tmp_path / "link.png"], inputs=[other, photo], force=force)
    with pytest.raises(UsageError, match="is not a folder"):
        Targets(photo, ".png", ["a.png"], force=True)
    with pytest.raises(UsageError, match=r"new\.png is the name of a file, but the outputs need a folder"):
        Targets(tmp_path / "new.png", ".png", ["a.png"])
    with pytest.raises(UsageError, match="is a folder"):
        check_outputs([tmp_path], force=True)
