"""Recordings of several channels: their mix to one channel, and how much of the sound a mix loses."""

from math import inf, log10

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float32]

_MINUS_3_DB = 0.5**0.5


class Mono:
    """One channel made of the frames of a recording: a chosen channel, or the mix of all.

    The mix is the mean of the channels. 6 and 8 channels are taken as 5.1 and 7.1, in the order of WAV and FLAC (left,
    right, centre, low frequencies, surrounds), in Ogg in that of Vorbis (left, centre, right, surrounds, low
    frequencies). They are mixed to stereo by the coefficients of ITU-R BS.775-3 (table 2: the centre to both sides and
    each surround to its own at -3 dB, without the low frequencies), and the mix is the mean of the two. So the centre
    stays at -3 dB; in a mean of six channels it would be at -15.6 dB.

    Attributes:
        left_out: the number, from 1 on, of the channel of low frequencies, which is not in the mix; None without one.
    """

    def __init__(self, channels: int, *, container: str, channel: int | None = None) -> None:
        """`channel` is the number of the chosen channel, from 1 on; None mixes all."""
        self.channel = channel
        self.left_out = None
        self._weights: Wave | None = None
        self._energies = np.zeros(channels)
        self._mix_energy = 0.0
        if channel is None and channels in (6, 8):
            surrounds = [_MINUS_3_DB / 2] * (channels - 4)
            ogg, others = [0.5, _MINUS_3_DB, 0.5, *surrounds, 0], [0.5, 0.5, _MINUS_3_DB, 0, *surrounds]
            self._weights = np.array(ogg if container == "OGG" else others, np.float32)
            self.left_out = int(self._weights.argmin()) + 1

    def __call__(self, frames: Wave) -> Wave:
        """The next frames (n, channels) as one channel (n,)."""
        if frames.shape[1] == 1:
            return frames[:, 0]
        if self.channel is not None:
            return frames[:, self.channel - 1]
        with np.errstate(over="ignore", invalid="ignore"):  # The reader refuses what is not finite.
            # A sum for each frame, and no product of matrices: its rounding would depend on the number of frames.
            mix: Wave = frames.mean(1, dtype=np.float32) if self._weights is None else (frames * self._weights).sum(1)
            self._energies += [np.dot(wave, wave) for wave in frames.T]
            self._mix_energy += float(np.dot(mix, mix))
        return mix

    def loss_db(self) -> float:
        """The level in dB by which the mix of all frames so far is below the loudest channel; 0 without a mix."""
        loudest = float(self._energies.max())
        return 10 * log10(loudest / max(self._mix_energy, loudest * 1e-12)) if 0 < loudest < inf else 0.0

    def loudest(self) -> int:
        """The number, from 1 on, of the loudest channel, the first one of those within 1 dB."""
        return int((self._energies >= 0.8 * self._energies.max()).argmax()) + 1
