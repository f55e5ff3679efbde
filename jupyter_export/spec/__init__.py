"""What a user asks for, as pydantic models: the spec of an export and everything in it."""

from .annotation import Annotation, Arrow, Box, FrameNumber, Text, Timecode
from .build import annotate, clip, framing, overlay
from .containers import OUTPUT_SUFFIXES, Animation, Container
from .effects import Crop, CropKeyframe, Effect, Rotate, Upscale
from .export import (
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
from .join import compare, concat, source
from .options import EncodingOptions, TableOptions

__all__ = [
    "OUTPUT_SUFFIXES",
    "Animation",
    "Annotation",
    "Arrow",
    "Box",
    "Codec",
    "Compare",
    "Container",
    "Crop",
    "CropKeyframe",
    "Effect",
    "Encoding",
    "EncodingOptions",
    "ExportSpec",
    "FrameNumber",
    "Highlight",
    "HighlightKeyframe",
    "Kind",
    "Quality",
    "Rotate",
    "Source",
    "SpeedRange",
    "TableOptions",
    "Text",
    "Timecode",
    "Transition",
    "Upscale",
    "annotate",
    "clip",
    "compare",
    "concat",
    "framing",
    "json_schema",
    "overlay",
    "parse",
    "source",
]
