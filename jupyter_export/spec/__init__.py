"""What a user asks for, as pydantic models: the spec of an export and everything in it."""

from .build import clip, framing
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
from .join import compare, concat, source

__all__ = [
    "OUTPUT_SUFFIXES",
    "Animation",
    "Codec",
    "Compare",
    "Container",
    "Crop",
    "CropKeyframe",
    "Effect",
    "Encoding",
    "ExportSpec",
    "Kind",
    "Quality",
    "Rotate",
    "Source",
    "SpeedRange",
    "Transition",
    "Upscale",
    "clip",
    "compare",
    "concat",
    "framing",
    "json_schema",
    "parse",
    "source",
]
