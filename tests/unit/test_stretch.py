"""Slow sound: as long as it should be, at its own pitch, as loud as it was, nothing moved."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from jupyter_export.media.stretch import stretched

RATE = 48000


def blocks(sound: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for i in range(0, len(sound), size):
        yield np.stack([sound[i : i + size], -sound[i : i + size]]).astype(np.float32)


def slow(sound: np.ndarray, rate: Fraction, size: int = 1024) -> np.ndarray:
    out = np.concatenate(list(stretched(blocks(sound, size), rate, RATE, len(sound))), axis=1)
    assert 0 <= out.shape[1] - len(sound) / rate <= 0.04 * RATE
    assert (out[0] == -out[1]).all()  # the channels stay together
    return out[0]


@pytest.mark.parametrize("rate", [Fraction(1, 10), Fraction(1, 3), Fraction(9, 10)])
@pytest.mark.parametrize("pitch", [70, 110, 440])
def test_a_voice_keeps_its_pitch_and_its_loudness(rate: Fraction, pitch: int) -> None:
    t = np.arange(RATE) / RATE
    voice = sum(np.cos(2 * np.pi * k * pitch * t + k * k) / k for k in range(1, 20)) * 0.1
    out = slow(voice, rate)[RATE // 10 : -RATE // 5]
    spectrum = np.abs(np.fft.rfft(out * np.hanning(len(out))))
    low = spectrum[: int(1.5 * pitch * len(out) / RATE)]
    assert np.argmax(low) * RATE / len(out) == pytest.approx(pitch, rel=0.02)
    loudness = np.sqrt((out[: len(out) // 4800 * 4800].reshape(-1, 4800) ** 2).mean(axis=1))
    assert loudness == pytest.approx(voice.std(), rel=0.08)


def test_a_beep_stays_around_its_time() -> None:
    t = np.arange(2 * RATE) / RATE
    beep = 0.5 * np.sin(2 * np.pi * 1000 * t) * ((t > 0.9) & (t < 1.1))
    for rate in (Fraction(1, 10), Fraction(1, 4), Fraction(2, 3)):
        out = slow(beep, rate) ** 2
        middle = (np.arange(len(out)) * out).sum() / out.sum() / RATE
        assert middle == pytest.approx(1.0 / rate, abs=0.01)


def test_how_it_comes_in_does_not_matter() -> None:
    noise = np.random.default_rng(3).normal(0, 0.1, RATE // 2)
    results = [slow(noise, Fraction(1, 2), size) for size in (100, 1024, RATE)]
    assert (results[0] == results[1]).all()
    assert (results[0] == results[2]).all()


def test_next_to_nothing_is_stretched_too() -> None:
    assert slow(np.ones(1), Fraction(1, 2)).size
    assert list(stretched([], Fraction(1, 2), RATE, 100)) == []
