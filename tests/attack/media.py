"""Pictures and recordings in every format, alone and in the folders of data sets."""

import io
import os
import random
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
import torch
from attack.engine import Reader, refusable
from attack.mutations import mutated
from PIL import Image

from codeword.config import AudioFolderConfig, ImageFolderConfig
from codeword.data import open_dataset
from codeword.media.images import MAX_PIXELS, read_image, read_image_size
from codeword.media.waves import audio_length, read_blocks

PICTURES = [
    ("PNG", {}), ("PNG", {"save_all": True}), ("JPEG", {}), ("JPEG", {"progressive": True}), ("QOI", {}),
    ("GIF", {"save_all": True}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"compression": "packbits"}), ("TIFF", {"compression": "tiff_deflate"}), ("BMP", {}), ("WEBP", {}),
    ("WEBP", {"lossless": True}), ("JPEG2000", {}), ("AVIF", {}), ("ICO", {}), ("TGA", {}), ("PCX", {}), ("PPM", {}),
    ("TGA", {"compression": "tga_rle"}), ("SGI", {}), ("DDS", {}), ("IM", {}), ("ICNS", {}), ("BLP", {}),
    ("MPO", {"save_all": True}), ("SPIDER", {}), ("MSP", {}), ("XBM", {}), ("PALM", {}),
]  # fmt: skip
MODES = ["RGB", "L", "RGBA", "P", "I;16", "F", "1", "CMYK", "LA", "I"]
SOUNDS = [
    ("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "PCM_24"), ("WAV", "ULAW"), ("WAV", "IMA_ADPCM"), ("WAV", "GSM610"),
    ("WAVEX", "PCM_16"), ("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"), ("AIFF", "PCM_16"), ("AU", "PCM_16"), ("CAF", "PCM_16"), ("CAF", "ALAC_16"),
    ("W64", "PCM_16"), ("NIST", "PCM_16"), ("RF64", "PCM_16"),
]  # fmt: skip
SUFFIXES = {"WAVEX": ".wav", "JPEG2000": ".jp2"}


@cache
def pictures() -> list[tuple[str, bytes]]:
    """Valid pictures of every format and mode that can be written, each with its suffix."""
    generator, made = np.random.default_rng(0), []
    pixels = generator.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    for name, options in PICTURES:
        for mode in MODES:
            picture = Image.fromarray(pixels).convert("L" if mode == "I;16" else mode)
            if mode == "I;16":
                picture = Image.fromarray(np.asarray(picture).astype(np.uint16) * 257)
            more = {"append_images": [picture.rotate(90)], **options} if "save_all" in options else options
            exif = Image.Exif()
            exif[0x0112] = 6
            content = io.BytesIO()
            try:
                with warnings.catch_warnings(action="ignore"):
                    picture.save(content, name, exif=exif, icc_profile=b"x" * 200, **more)
            except (OSError, ValueError, KeyError):
                continue
            made.append((SUFFIXES.get(name, f".{name.lower()}"), content.getvalue()))
    return made


@cache
def sounds() -> list[tuple[str, bytes]]:
    generator, made = np.random.default_rng(0), []
    for container, subtype in SOUNDS:
        for channels in (1, 2):
            content = io.BytesIO()
            wave = generator.uniform(-0.5, 0.5, (700, channels))
            try:
                soundfile.write(content, wave, 8000, format=container, subtype=subtype)
            except (soundfile.SoundFileError, ValueError):
                continue
            made.append((SUFFIXES.get(container, f".{container.lower()}"), content.getvalue()))
    return made


def hostile(rng: random.Random, valid: list[tuple[str, bytes]]) -> tuple[str, bytes]:
    """Half of them spliced with another of the same suffix, or of any."""
    suffix, content = rng.choice(valid)
    other = rng.choice([c for s, c in valid if s == suffix] if rng.random() < 0.8 else [c for _, c in valid])
    return suffix, mutated(rng, content, other)


def attack_picture(rng: random.Random, work: Path) -> int:
    """Pixels have no checksums in most formats: any picture of the size in its header is right."""
    suffix, content = hostile(rng, pictures())
    path = work / f"x{suffix}"
    path.write_bytes(content)
    image = read_image(path)
    assert image.dtype == torch.uint8
    assert image.shape == (3, *read_image_size(path))
    assert 0 < image[0].numel() <= MAX_PIXELS
    return len(content)


def attack_sound(rng: random.Random, work: Path) -> int:
    """Samples have no checksums in most formats: any recording of the length in its header is right."""
    suffix, content = hostile(rng, sounds())
    path = work / f"x{suffix}"
    path.write_bytes(content)
    rate, values = rng.choice([8000, 16_000, 11_025]), rng.choice([256, 65536])
    length, samples = audio_length(path, rate), 0
    for block in read_blocks(path, sample_rate=rate, values=values):
        assert 0 <= int(block.min()) <= int(block.max()) < values
        samples += block.shape[1]
    assert samples == length
    return len(content)


def attack_folder(rng: random.Random, work: Path) -> int:
    """Broken files among whole ones, links, and names of any kind, as the data set of a recipe."""
    kind = rng.choice(["images", "audio"])
    valid = pictures() if kind == "images" else sounds()
    root, size_bytes = work / "root", 0
    for i in range(12):
        name = rng.choice([f"{i}", f"a/{i}", f"b/{i}", f"b/c/{i}"])
        suffix, content = hostile(rng, valid) if rng.random() < 0.4 else rng.choice(valid)
        path = root / (name + suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        size_bytes += len(content)
        match rng.randrange(30):
            case 0:
                link = path.with_name(f"link{i}{suffix}")
                link.symlink_to(rng.choice([".", "..", "/nowhere", path.name, link.name]))
            case 1:
                path.with_name(f"f{i}{suffix}").mkdir()
            case 2:
                os.mkfifo(path.with_name(f"p{i}{suffix}"))
            case 3:
                Path(os.fsdecode(os.fsencode(path.parent) + b"/\xff\n" + os.fsencode(suffix))).write_bytes(content)
    crop = rng.choice([16, 500])
    config = (
        ImageFolderConfig(root=root, size=8, flip=True, crop="random")
        if kind == "images"
        else AudioFolderConfig(root=root, sample_rate=8000, crop_samples=crop, speed=0.2, gain_db=3, colour_db=3)
    )
    data = open_dataset(config, rng.choice(["train", "valid", "test"]))
    for generator in (None, torch.Generator().manual_seed(0)):
        with refusable():
            batch = data.take(range(min(len(data), 20)), generator=generator)
            assert batch.x.shape[1:] == data.shape
    return size_bytes


READERS = [
    Reader("picture", attack_picture, share=0.13),
    Reader("sound", attack_sound, share=0.1),
    Reader("folder", attack_folder, share=0.03),
]
