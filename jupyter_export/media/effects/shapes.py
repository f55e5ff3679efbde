"""How much of each sample a shape covers, by the distance of the sample from its edge.

All take sample places `xs` (1, width) and `ys` (height, 1) in pixels and `edge`, the width in
pixels over which coverage goes from 1 to 0 around the ideal edge.
"""

from __future__ import annotations

import math

import numpy as np

from .drawing import Box, Floats

__all__ = [
    "arrow",
    "box",
    "box_outline",
    "covered",
    "ellipse",
    "ellipse_outline",
    "ground_ring",
    "ring_boxes",
]

_TINY = np.float32(1e-6)
# Radius in pixels from which it pays to leave out the inside of an outline.
_LARGE = 120


def covered(distance: Floats, edge: float) -> Floats:
    """The coverage of samples at a signed distance from the edge, negative inside."""
    inside: Floats = distance * np.float32(-1 / edge)
    inside += np.float32(0.5)
    return np.clip(inside, 0, 1, out=inside)


def _ellipse_distance(
    xs: Floats, ys: Floats, edge: float, x: float, y: float, radius_x: float, radius_y: float
) -> Floats:
    """In parts of `edge`."""
    # |p/r| (|p/r| − 1) / |p/r²|: exact for circles, and to first order near any ellipse
    # (I. Quilez, "Ellipsoid SDF").
    dx = np.square(xs - np.float32(x))
    dy = np.square(ys - np.float32(y))
    tiny = np.float32(_TINY * max(radius_x, radius_y) ** -2)
    slope = dx * np.float32(edge**2 * radius_x**-4) + (
        dy * np.float32(edge**2 * radius_y**-4) + tiny
    )
    np.sqrt(slope, out=slope)
    distance: Floats = dx * np.float32(radius_x**-2) + dy * np.float32(radius_y**-2)
    np.sqrt(distance, out=distance)
    np.divide(distance, slope, out=slope)
    distance -= np.float32(1)
    distance *= slope
    return distance


def ellipse(
    xs: Floats, ys: Floats, edge: float, x: float, y: float, radius_x: float, radius_y: float
) -> Floats:
    """The inside of an ellipse around x, y."""
    inside = _ellipse_distance(xs, ys, edge, x, y, radius_x, radius_y)
    np.subtract(np.float32(0.5), inside, out=inside)
    return np.clip(inside, 0, 1, out=inside)


def ellipse_outline(
    xs: Floats,
    ys: Floats,
    edge: float,
    x: float,
    y: float,
    radius_x: float,
    radius_y: float,
    width: float,
) -> Floats:
    """A stroke of that width along an ellipse."""
    inside = _ellipse_distance(xs, ys, edge, x, y, radius_x, radius_y)
    np.abs(inside, out=inside)
    np.subtract(np.float32(0.5 + width / 2 / edge), inside, out=inside)
    return np.clip(inside, 0, 1, out=inside)


def ring_boxes(x: float, y: float, radius_x: float, radius_y: float, width: float) -> list[Box]:
    """Boxes around the outline of an ellipse that leave out most of the inside of a large one."""
    reach_x, reach_y = radius_x + width / 2 + 2, radius_y + width / 2 + 2
    inner_x, inner_y = radius_x - width / 2 - 2, radius_y - width / 2 - 2
    if min(inner_x, inner_y) < _LARGE:
        return [(x - reach_x, y - reach_y, x + reach_x, y + reach_y)]
    # Above and below the inner rectangle of the largest area, and beside it.
    half_y = inner_y * math.sqrt(0.5)
    boxes: list[Box] = []
    edges = [y - reach_y, y - half_y, y - half_y / 3, y + half_y / 3, y + half_y, y + reach_y]
    tops = [_even(edge) for edge in edges]
    for top, bottom in zip(tops, [*tops[1:-1], tops[-1] + 2], strict=False):
        near = max(0.0, top - y, y - bottom)
        far = max(abs(top - y), abs(bottom - y))
        outer = reach_x * math.sqrt(max(0.0, 1 - (near / reach_y) ** 2))
        if far > half_y + 4:
            boxes.append((x - outer, top, x + outer, bottom))
            continue
        inner = inner_x * math.sqrt(1 - (far / inner_y) ** 2)
        left, right = _even(x - inner) + 2, _even(x + inner)
        boxes += [(x - outer, top, left, bottom), (right, top, x + outer, bottom)]
    return boxes


def around(outer: Box, inner: Box) -> tuple[list[Box], Box]:
    """Boxes that with an inner one make up the outer one, and the inner one: it is made smaller
    to begin and end at even pixels, as chroma samples do."""
    left, top, right, bottom = inner
    left, top, right, bottom = _even(left) + 2, _even(top) + 2, _even(right), _even(bottom)
    parts = [
        (outer[0], outer[1], outer[2], top),
        (outer[0], bottom, outer[2], outer[3]),
        (outer[0], top, left, bottom),
        (right, top, outer[2], bottom),
    ]
    return parts, (left, top, right, bottom)


def _even(value: float) -> int:
    return math.floor(value / 2) * 2


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
    """A ring on the ground, `width` wide at its sides and `height` at its near side, with a soft
    gap at its far side, where legs stand before it."""
    ring = ellipse(xs, ys, edge, x, y, radius_x + width / 2, radius_y + height / 2)
    if radius_x > width / 2 and radius_y > height / 2:
        ring -= ellipse(xs, ys, edge, x, y, radius_x - width / 2, radius_y - height / 2)
    near = np.clip(
        ((ys - np.float32(y)) * np.float32(1 / radius_y) + np.float32(0.85)) * np.float32(2), 0, 1
    )
    ring *= near * near * (3 - 2 * near)
    return ring


def _box_distance(
    xs: Floats, ys: Floats, x: float, y: float, half_x: float, half_y: float, radius: float
) -> Floats:
    dx = np.abs(xs - np.float32(x)) - np.float32(half_x - radius)
    dy = np.abs(ys - np.float32(y)) - np.float32(half_y - radius)
    outside = np.sqrt(np.maximum(dx, 0) ** 2 + np.maximum(dy, 0) ** 2)
    distance: Floats = outside + np.minimum(np.maximum(dx, dy), 0) - np.float32(radius)
    return distance


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
    # Blunt beyond the tip, where the distance from the sides alone would go on for long.
    triangle = np.maximum(sides, np.maximum(along - np.float32(head), -along))
    middle = np.float32((length + head) / 2 - head / 4)
    shaft = np.maximum(
        np.abs(along - middle) - np.float32((length - head) / 2 + head / 4),
        across - np.float32(width / 2),
    )
    return covered(np.minimum(triangle, shaft) - np.float32(rim), edge)
