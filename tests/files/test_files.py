"""The library on files: the same as the commands, from Python."""

import pydoc
from pathlib import Path

import pytest
import torch
from tiny.codec_models import sine

import codeword
from codeword.config import TokenizerConfig
from codeword.errors import DataError
from codeword.files import describe_compressed
from codeword.media import MEDIA
from codeword.model import Model


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    x = sine(2, (50, 70), channels=3, values=256)
    MEDIA["images"].write(tmp_path / "photo.png", [x], TokenizerConfig())
    return tmp_path / "photo.png"


def test_a_file_is_read_encoded_and_decoded_again(photo: Path) -> None:
    model, x = codeword.load("images"), codeword.read(photo)
    assert x.shape == (3, 50, 70)
    codes = codeword.encode(model, x)
    assert codes.shape == (13, 18, 1)
    y = codeword.decode(model, codes, size=x.shape[1:])
    assert torch.equal(y.long(), model.tokenizer.decode(codes[None], size=(50, 70))[0])


def test_compress_and_decompress_say_what_they_did(photo: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing.png"
    packed = codeword.compress([photo, missing], tmp_path / "photo.cw")
    assert packed.results[str(tmp_path / "photo.cw")]["signals"] == 1
    assert list(packed.failures) == [str(missing)]
    unpacked = codeword.decompress(tmp_path / "photo.cw", tmp_path / "back.png")
    assert unpacked.results["photo.png"] == {"out": str(tmp_path / "back.png"), "size": {"height": 50, "width": 70}}
    model = codeword.load("images")
    codes = codeword.encode(model, codeword.read(photo))
    expected = codeword.decode(model, codes, size=(50, 70))
    assert int((codeword.read(tmp_path / "back.png").int() - expected.int()).abs().max()) == 0


def test_an_archive_is_read_once_and_goes_on_without_a_broken_file(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, reads = tmp_path / "broken.png", list[str]()
    broken.write_bytes(photo.read_bytes()[:-200])
    images = type(MEDIA["images"])
    read = images.read
    monkeypatch.setattr(images, "read", lambda self, path, *args: (reads.append(path.name), read(self, path, *args))[1])
    done = codeword.compress(photo, tmp_path / "one.cw")
    assert (reads, list(done.failures)) == (["photo.png"], [])
    done = codeword.compress([photo, broken], tmp_path / "two.cw")
    assert list(done.failures) == [str(broken)]
    assert (tmp_path / "two.cw").read_bytes() == (tmp_path / "one.cw").read_bytes()


def test_models_load_by_name_and_by_place(tmp_path: Path) -> None:
    model = codeword.load("speech")
    assert model.tokenizer.config.sample_rate == 16_000
    model.save_pretrained(tmp_path / "copy")
    assert (
        codeword.load(tmp_path / "copy").fingerprint == Model.load(tmp_path / "copy").fingerprint == model.fingerprint
    )
    with pytest.raises(codeword.ModelError, match="no model folder 'voices'"):
        codeword.load("voices")


def test_a_folder_of_pictures_does_not_hide_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("images").mkdir()
    model = codeword.load("images")
    model.save_pretrained("images", compact=True)
    assert codeword.load("images") is not model


def test_every_public_name_is_there() -> None:
    assert {"Model", "encode", "decode", "train"} <= set(dir(codeword))
    assert all(getattr(codeword, name) is not None for name in dir(codeword))
    assert pydoc.render_doc(codeword).count("\n") < 80
    with pytest.raises(AttributeError, match="attribute nothing"):
        codeword.nothing  # noqa: B018


def test_a_folder_is_no_compressed_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\); check the path"):
        codeword.decompress(tmp_path, tmp_path / "a.png")


def test_a_description_names_the_format_and_a_damaged_header(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(photo.read_bytes())
    codeword.compress([photo, tmp_path / "b.png"], tmp_path / "two.cw")
    whole = describe_compressed(tmp_path / "two.cw")
    assert (whole["format_version"], whole["header_damaged"]) == (4, False)
    damaged = bytearray((tmp_path / "two.cw").read_bytes())
    damaged[30] ^= 1
    (tmp_path / "two.cw").write_bytes(damaged)
    assert describe_compressed(tmp_path / "two.cw") == whole | {"header_damaged": True}
