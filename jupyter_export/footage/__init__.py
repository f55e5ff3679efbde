"""Footage from what is no video yet: frames of arrays, image files, animations of Matplotlib.

Each is encoded once, without loss, into a file named after its content, below `FOLDER` beside the
notebook; the same frames are found again. The path goes wherever a source's path goes:

    jx.clip(jx.from_frames(frames, fps=30)).to("simulation.mp4")
"""

from __future__ import annotations

from .animation import from_animation
from .frames import from_frames
from .images import from_images
from .store import FOLDER

__all__ = ["FOLDER", "from_animation", "from_frames", "from_images"]
