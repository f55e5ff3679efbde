"""How much of each sample a shape covers, by the distance of the sample from its edge.

All take sample places `xs` (1, width) and `ys` (height, 1) in pixels and `edge`, the width in
pixels over which coverage goes from 1 to 0 around the ideal edge.
"""

from __future__ import annotations

import math

import numpy as np

from .drawing import Floats

__all__ = ["arrow", "box", "box_outline", "covered", "ellipse", "ellipse_outline", "ground_ring"]

_TINY = np.float32(1e-6)


def covered(distance: Floats, edge: float) -> Floats:
    """The coverage of samples at a signed distance from the edge, negative inside."""
    return np.clip(np.float32(0.5) - distance * np.float32(1 / edge), 0, 1)


def _ellipse_distance(
    xs: Floats, ys: Floats, x: float, y: float, radius_x: float, radius_y: float
) -> Floats:
    # To first order (Sampson 1982): the equation's value over the length of its gradient.
    dx = (xs - np.float32(x)) ** 2
    dy = (ys - np.float32(y)) ** 2
    value = dx * np.float32(radius_x**-2) + dy * np.float32(radius_y**-2)
    slope = dx * np.float32(radius_x**-4) + dy * np.float32(radius_y**-4)
    slope += _TINY * np.float32(max(radius_x, radius_y) ** -2)
    np.sqrt(slope, out=slope)
    value -= np.float32(1)
    value /= slope
    value *= np.float32(0.5)
    return value


def ellipse(
    xs: Floats, ys: Floats, edge: float, x: float, y: float, radius_x: float, radius_y: float
) -> Floats:
    """The inside of an ellipse around x, y."""
    return covered(_ellipse_distance(xs, ys, x, y, radius_x, radius_y), edge)


def ellipse_outline(
    xs: Floats,
    ys: Floats,
    edge: float,
    x: float,
    y: float,
    radius_x: float,
    radius_y: float,
    width: float,
    height: float,
) -> Floats:
    """The ring between two ellipses, `width` wide at its sides and `height` at top and bottom."""
    outer = ellipse(xs, ys, edge, x, y, radius_x + width / 2, radius_y + height / 2)
    if radius_x > width / 2 and radius_y > height / 2:
        outer -= ellipse(xs, ys, edge, x, y, radius_x - width / 2, radius_y - height / 2)
    return outer


def ground_ring(
    xs: Floats,
    ys: Floats,
    edge: float,
    x: float,
    y: float,
    radius_x: float,
    radius_y: float,
    width: float,
    height: float,
) -> Floats:
    """A ring on the ground, with a soft gap at its far side, where legs stand before it."""
    ring = ellipse_outline(xs, ys, edge, x, y, radius_x, radius_y, width, height)
    near = np.clip(((ys - np.float32(y)) * np.float32(1 / radius_y) + 0.85) * 2, 0, 1)
    return ring * (near * near * (3 - 2 * near)).astype(np.float32)


def _box_distance(
    xs: Floats, ys: Floats, x: float, y: float, half_x: float, half_y: float, radius: float
) -> Floats:
    dx = np.abs(xs - np.float32(x)) - np.float32(half_x - radius)
    dy = np.abs(ys - np.float32(y)) - np.float32(half_y - radius)
    outside = np.sqrt(np.maximum(dx, 0) ** 2 + np.maximum(dy, 0) ** 2)
    return outside + np.minimum(np.maximum(dx, dy), 0) - np.float32(radius)


def box(
    xs: Floats,
    ys: Floats,
    edge: float,
    x: float,
    y: float,
    half_x: float,
    half_y: float,
    radius: float,
) -> Floats:
    """The inside of a box around x, y with round corners."""
    radius = min(radius, half_x, half_y)
    if radius > 0:
        return covered(_box_distance(xs, ys, x, y, half_x, half_y, radius), edge)
    across = covered(np.abs(xs - np.float32(x)) - np.float32(half_x), edge)
    down = covered(np.abs(ys - np.float32(y)) - np.float32(half_y), edge)
    return across * down


def box_outline(
    xs: Floats,
    ys: Floats,
    edge: float,
    x: float,
    y: float,
    half_x: float,
    half_y: float,
    radius: float,
    width: float,
) -> Floats:
    """The frame of a box, half of its width on either side of the edge."""
    half = width / 2
    grown = radius + half if radius > 0 else 0.0
    outer = box(xs, ys, edge, x, y, half_x + half, half_y + half, grown)
    if half_x > half and half_y > half:
        outer -= box(xs, ys, edge, x, y, half_x - half, half_y - half, max(0.0, radius - half))
    return outer


def arrow(
    xs: Floats,
    ys: Floats,
    edge: float,
    from_x: float,
    from_y: float,
    x: float,
    y: float,
    width: float,
    head: float,
    rim: float,
) -> Floats:
    """An arrow whose tip is x, y, with a head as wide as long, grown by `rim` on all sides."""
    length = math.hypot(x - from_x, y - from_y) or 1.0
    ux, uy = (x - from_x) / length, (y - from_y) / length
    head = min(head, length)
    # Along the arrow from its tip backwards, and across it.
    along = (np.float32(x) - xs) * np.float32(ux) + (np.float32(y) - ys) * np.float32(uy)
    across = np.abs((xs - np.float32(x)) * np.float32(uy) - (ys - np.float32(y)) * np.float32(ux))
    # The sides of the head run at atan(1/2) to the shaft.
    sides = (across * 2 - along) * np.float32(1 / math.sqrt(5))
    triangle = np.maximum(sides, along - np.float32(head))
    middle = np.float32((length + head) / 2 - head / 4)
    shaft = np.maximum(
        np.abs(along - middle) - np.float32((length - head) / 2 + head / 4),
        across - np.float32(width / 2),
    )
    return covered(np.minimum(triangle, shaft) - np.float32(rim), edge)
