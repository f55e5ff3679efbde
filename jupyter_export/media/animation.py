"""What a moving picture (GIF, WebP) is made of: its rate, its size, how it is encoded."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

from ..errors import SpecError
from ..spec import Animation, Encoding, ExportSpec, Quality
from .effects.base import Picture
from .recipe import AnimationRecipe

__all__ = ["animated_picture", "animated_rate", "animation_recipe", "check_length"]

#: What waits for its palette: nothing is lost by subsampling the colours of what was made smaller.
_FORMAT = "yuv444p"
#: Of a GIF the colours and the dithering: Bayer's pattern stands still where the picture does and
#: packs well; Sierra's error diffusion shows finer steps. Of a WebP libwebp's quality, 0 to 100.
_LOOKS = {
    Quality.FAST: (128, "bayer", 60),
    Quality.BALANCED: (256, "bayer", 75),
    Quality.QUALITY: (256, "sierra2_4a", 90),
}


def animated_rate(rate: Fraction, encoding: Encoding, limits: Animation) -> Fraction:
    """Frames per second for a source of `rate`: of too many every second, third, … is taken, so
    that motion stays even."""
    return rate if encoding.fps is not None else rate / ceil(rate / limits.fps)


def animated_picture(canvas: Picture, encoding: Encoding, limits: Animation) -> Picture:
    """What is encoded of frames like `canvas`."""
    width, height = canvas.width, canvas.height
    if encoding.size is None:
        scale = min(Fraction(1), Fraction(limits.side, max(width, height)))
        width, height = (max(2, round(side * scale / 2) * 2) for side in (width, height))
    return Picture(width=width, height=height, pix_fmt=_FORMAT)


def animation_recipe(spec: ExportSpec, limits: Animation) -> AnimationRecipe:
    """How the frames are encoded."""
    colours, dither, quality = _LOOKS[spec.encoding.quality]
    return AnimationRecipe(encoder=limits.encoder, colours=colours, dither=dither, quality=quality)


def check_length(spec: ExportSpec, seconds: Fraction, limits: Animation) -> None:
    """Refuse what would be huge.

    Raises:
        SpecError: it lasts too long.
    """
    if seconds > limits.seconds:
        raise SpecError(
            f"A {spec.container.name} may last {limits.seconds} s, not {float(seconds):.1f} s: it "
            "would be many times as large as the same as video.",
            "Take a shorter range, or end the output's name in .mp4.",
            field="output",
        )
