"""The compiled kernel of moving crops gives Pillow's bytes."""

from __future__ import annotations

import random
import shutil

import numpy as np
import pytest
from av.video.frame import VideoFrame
from PIL import Image

from jupyter_export.media.resample import COMPILED, Box, resample

both_ways = pytest.mark.parametrize(
    "compiled", [pytest.param(True, marks=[] if COMPILED else [pytest.mark.skip]), False]
)


def gray(samples: np.ndarray) -> VideoFrame:
    return VideoFrame.from_ndarray(samples, format="gray")


def resampled(frame: VideoFrame, box: Box, size: tuple[int, int], compiled: bool) -> np.ndarray:
    result = VideoFrame(*size, "gray")
    resample(frame.planes[0], result.planes[0], box, compiled)
    return result.to_ndarray()


def test_it_is_compiled_where_a_compiler_is() -> None:
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    assert COMPILED


@pytest.mark.skipif(not COMPILED, reason="the kernel was not compiled")
def test_the_kernel_and_pillow_give_the_same_bytes() -> None:
    dice, noise = random.Random(1), np.random.default_rng(1)
    for n in range(150):
        width, height = dice.randint(1, 300), dice.randint(1, 200)
        samples = noise.integers(0, 256, (height, width), np.uint8)
        if n % 3 == 0:  # edges, where a cubic overshoots
            samples = (samples > 127).astype(np.uint8) * 255
        x, y = dice.uniform(-2, width - 1), dice.uniform(-2, height - 1)
        box = (x, y, dice.uniform(0.3, width + 2 - x), dice.uniform(0.3, height + 2 - y))
        size = (dice.randint(1, 400), dice.randint(1, 200))
        ours = resampled(gray(samples), box, size, True)
        theirs = resampled(gray(samples), box, size, False)
        assert np.array_equal(ours, theirs), (samples.shape, box, size)


@both_ways
def test_the_edge_goes_on_outside_of_the_picture(compiled: bool) -> None:
    samples = np.arange(0, 200, 2, dtype=np.uint8)[None, :].repeat(60, axis=0)
    padded = np.pad(samples, ((3, 5), (4, 2)), mode="edge")
    box = (-4.0, -3.0, 106.0, 68.0)
    assert np.array_equal(resampled(gray(samples), box, (106, 68), compiled), padded)


@both_ways
def test_across_and_then_down_is_what_pillow_does_in_one_call(compiled: bool) -> None:
    samples = np.random.default_rng(2).integers(0, 256, (90, 120), np.uint8)
    # Pillow takes this order itself where it is the cheaper one.
    whole = Image.fromarray(samples).resize(
        (60, 80), Image.Resampling.BICUBIC, (7.3, 2.1, 111.9, 82.6)
    )
    ours = resampled(gray(samples), (7.3, 2.1, 104.6, 80.5), (60, 80), compiled)
    assert int(np.abs(np.asarray(whole).astype(int) - ours).max()) <= 1


@pytest.mark.skipif(not COMPILED, reason="the kernel was not compiled")
def test_the_kernel_and_pillow_give_the_same_bytes_where_nothing_shrinks_or_grows() -> None:
    dice, noise = random.Random(3), np.random.default_rng(3)
    for n in range(150):
        width, height = dice.randint(1, 300), dice.randint(1, 120)
        samples = noise.integers(0, 256, (height, width), np.uint8)
        if n % 3 == 0:
            samples = (samples > 127).astype(np.uint8) * 255
        size = (dice.randint(1, width + 4), dice.randint(1, height + 4))
        x, y = dice.uniform(-3, width + 3 - size[0]), dice.uniform(-3, height + 3 - size[1])
        # Whole samples, halves, anything; and only one of the two axes as it is.
        box = [(round(x), round(y)), (round(x * 2) / 2, round(y)), (x, y)][n % 3]
        whole = (*box, float(size[0]), float(size[1]))
        if n % 5 == 0:
            size = (size[0], dice.randint(1, 200))
        ours = resampled(gray(samples), whole, size, True)
        theirs = resampled(gray(samples), whole, size, False)
        assert np.array_equal(ours, theirs), (samples.shape, box, size)


@both_ways
def test_whole_samples_stay_as_they_are(compiled: bool) -> None:
    samples = np.random.default_rng(4).integers(0, 256, (90, 120), np.uint8)
    # A spline gives a place that is whole but for the last bits.
    box = (7.0000000001, 4.9999999999, 100.0000000002, 79.9999999998)
    ours = resampled(gray(samples), box, (100, 80), compiled)
    assert np.array_equal(ours, samples[5:85, 7:107])


@both_ways
def test_half_a_sample_is_between_two(compiled: bool) -> None:
    samples = np.array([[0, 0, 0, 0, 160, 160, 160, 160]], np.uint8).repeat(40, axis=0)
    ours = resampled(gray(samples), (0.5, 10.0, 7.0, 20.0), (7, 20), compiled)
    # Keys' cubic at a half: -1/16, 9/16, 9/16, -1/16.
    assert ours[0].tolist() == [0, 0, 0, 80, 170, 160, 160]
