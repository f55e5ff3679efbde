"""Crop paths and highlights from tables: DataFrames, arrays, lists of dicts, trackers' output."""

from .columns import Track, tracks
from .paths import crop_path, highlights
from .smoothing import one_euro, reduced, smoothed

__all__ = ["Track", "crop_path", "highlights", "one_euro", "reduced", "smoothed", "tracks"]
