"""What requests and answers have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictInt

__all__ = ["Answer", "Priority", "ProjectName", "Request", "Time"]

Priority = Annotated[StrictInt, Field(ge=-1000, le=1000, description="higher goes first")]
ProjectName = Annotated[str, Field(min_length=1, max_length=255)]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, description="ISO 8601, UTC")]


class Request(BaseModel):
    """A body; it has no other members."""

    model_config = ConfigDict(extra="forbid")


class Answer(BaseModel):
    """An answer; it has no other members."""

    model_config = ConfigDict(extra="forbid")
