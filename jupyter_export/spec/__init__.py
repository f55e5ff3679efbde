"""What a user asks for, as pydantic models: the spec of an export and everything in it."""

from .annotation import Annotation, Arrow, Box, FrameNumber, Text, Timecode
from .build import annotate, clip, framing, overlay
from .effects import Crop, CropKeyframe, Effect, Rotate, Upscale
from .export import (
    OUTPUT_SUFFIXES,
    Codec,
    Compare,
    Encoding,
    ExportSpec,
    Kind,
    Quality,
    Source,
    SpeedRange,
    Transition,
    json_schema,
    parse,
)
from .highlight import Highlight, HighlightKeyframe

__all__ = [
    "OUTPUT_SUFFIXES",
    "Annotation",
    "Arrow",
    "Box",
    "Codec",
    "Compare",
    "Crop",
    "CropKeyframe",
    "Effect",
    "Encoding",
    "ExportSpec",
    "FrameNumber",
    "Highlight",
    "HighlightKeyframe",
    "Kind",
    "Quality",
    "Rotate",
    "Source",
    "SpeedRange",
    "Text",
    "Timecode",
    "Transition",
    "Upscale",
    "annotate",
    "clip",
    "framing",
    "json_schema",
    "overlay",
    "parse",
]
