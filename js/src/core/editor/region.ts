/** Where a crop or a highlight is at a time, and how an edit changes its keyframes: pure. */

import { at } from './path';

export interface Crop {
  type: 'crop';
  size: readonly [number, number];
  keyframes: readonly CropKey[];
  interpolation?: 'spline' | 'linear';
}

export interface CropKey {
  time: number;
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Highlight {
  type: 'highlight';
  shape?: 'ellipse' | 'box' | 'ground';
  effect?: 'outline' | 'brighten' | 'dim_outside';
  start?: number;
  end?: number | null;
  keyframes: readonly HighlightKey[];
  interpolation?: 'spline' | 'linear';
  color?: string;
  [more: string]: unknown;
}

export interface HighlightKey {
  time: number;
  /** The centre. */
  x: number;
  y: number;
  radius_x: number;
  radius_y?: number | null;
  stroke_opacity?: number | null;
  fill_opacity?: number | null;
  color?: string | null;
}

export type Region = Crop | Highlight;

/** A rectangle: its upper left corner, and its sides. */
export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Size {
  width: number;
  height: number;
}

/** A ring on the ground is so flat, if its keyframe does not say otherwise. */
const FLATNESS = 0.35;
/** Keyframes nearer than this, in seconds, are of the same frame. */
export const SAME = 1e-4;
/** Pixels: a region is never smaller. */
const SMALLEST = 16;

/** The box around the region at a time. */
export const boxAt = (region: Region, time: number): Box => boxesOf(region)(time);

/** The same for many times. */
export function boxesOf(region: Region): (time: number) => Box {
  const { keyframes, interpolation = 'spline' } = region;
  const points: number[][] =
    region.type === 'crop'
      ? region.keyframes.map(k => [k.x, k.y, k.width, k.height])
      : region.keyframes.map(k => [k.x, k.y, k.radius_x, radiusY(region, k)]);
  const path = { times: keyframes.map(k => k.time), points, interpolation };
  return time => {
    const [x, y, a, b] = at(path, time) as [number, number, number, number];
    if (region.type === 'crop') return { x, y, width: a, height: b };
    // A spline that swings below nothing stays at half a pixel.
    const [rx, ry] = [Math.max(a, 0.5), Math.max(b, 0.5)];
    return { x: x - rx, y: y - ry, width: 2 * rx, height: 2 * ry };
  };
}

/** What is drawn of a crop: moved into the picture, as the renderer moves it. */
export function clamped(box: Box, picture: Size): Box {
  const width = Math.min(Math.max(box.width, 1), picture.width);
  const height = Math.min(Math.max(box.height, 1), picture.height);
  const x = Math.min(Math.max(box.x, 0), picture.width - width);
  const y = Math.min(Math.max(box.y, 0), picture.height - height);
  return { x, y, width, height };
}

/** Which keyframe is at a time; -1 is none. */
export const keyAt = (region: Region, time: number): number =>
  (region.keyframes as readonly { time: number }[]).findIndex(k => Math.abs(k.time - time) <= SAME);

/** The region with the box at a time: its keyframe there is moved, or a new one is set. */
export function withBox<R extends Region>(region: R, time: number, box: Box): R {
  const there = keyAt(region, time);
  const keyframes = [...region.keyframes] as CropKey[] & HighlightKey[];
  const moment = there >= 0 ? keyframes[there]!.time : round(time, 1e6);
  const made = region.type === 'crop' ? cropKey(moment, box) : highlightKey(region, moment, box);
  if (there >= 0) keyframes[there] = made as CropKey & HighlightKey;
  else keyframes.push(made as CropKey & HighlightKey);
  keyframes.sort((a, b) => a.time - b.time);
  return { ...region, keyframes };
}

/** Without the keyframe at a time; the last one stays. */
export function withoutKey<R extends Region>(region: R, index: number): R {
  if (region.keyframes.length < 2 || index < 0) return region;
  return { ...region, keyframes: (region.keyframes as unknown[]).filter((_, i) => i !== index) };
}

/** With a keyframe at another time, between its neighbours. */
export function withTime<R extends Region>(region: R, index: number, time: number): R {
  const keyframes = [...region.keyframes] as CropKey[];
  const gap = 0.001;
  const low = index > 0 ? keyframes[index - 1]!.time + gap : 0;
  const high = index + 1 < keyframes.length ? keyframes[index + 1]!.time - gap : Infinity;
  const moment = round(Math.min(Math.max(time, low), high), 1e6);
  keyframes[index] = { ...keyframes[index]!, time: moment };
  return { ...region, keyframes } as R;
}

/** The crop in another shape: each rectangle keeps its centre and its area, as far as that fits. */
export function reshaped(crop: Crop, size: readonly [number, number], picture: Size): Crop {
  const ratio = size[0] / size[1];
  const keyframes = crop.keyframes.map(k => {
    const width = Math.sqrt(k.width * k.height * ratio);
    const box = fitted({ x: 0, y: 0, width, height: width / ratio }, picture);
    const [x, y] = [k.x + (k.width - box.width) / 2, k.y + (k.height - box.height) / 2];
    return cropKey(k.time, clamped({ ...box, x, y }, picture));
  });
  return { ...crop, size, keyframes };
}

/** Moved by so many pixels, but not out of the picture. */
export function moved(region: Region, box: Box, dx: number, dy: number, picture: Size): Box {
  const next = { ...box, x: box.x + dx, y: box.y + dy };
  if (region.type === 'crop') return clamped(next, picture);
  const x = Math.min(Math.max(next.x + box.width / 2, 0), picture.width) - box.width / 2;
  const y = Math.min(Math.max(next.y + box.height / 2, 0), picture.height) - box.height / 2;
  return { ...next, x, y };
}

/** A corner, by the signs of its directions from the centre. */
export type Corner = readonly [-1 | 1, -1 | 1];

/**
 * With a corner dragged to a point. A crop keeps its shape and its other corner; a highlight its
 * centre.
 */
export function resized(region: Region, box: Box, [sx, sy]: Corner, px: number, py: number, picture: Size): Box {
  const [cx, cy] = [box.x + box.width / 2, box.y + box.height / 2];
  if (region.type === 'highlight') {
    const width = Math.max(SMALLEST, 2 * Math.abs(px - cx));
    const flat = region.shape === 'ground' ? box.height / box.width : null;
    const height = flat ? width * flat : Math.max(SMALLEST, 2 * Math.abs(py - cy));
    return { x: cx - width / 2, y: cy - height / 2, width, height };
  }
  const ratio = region.size[0] / region.size[1];
  const [fx, fy] = [cx - (sx * box.width) / 2, cy - (sy * box.height) / 2];
  const roomX = sx > 0 ? picture.width - fx : fx;
  const roomY = sy > 0 ? picture.height - fy : fy;
  const wanted = Math.max(sx * (px - fx), sy * (py - fy) * ratio, SMALLEST * Math.max(1, ratio));
  const width = Math.min(wanted, roomX, roomY * ratio);
  const height = width / ratio;
  return { x: sx > 0 ? fx : fx - width, y: sy > 0 ? fy : fy - height, width, height };
}

/** Larger or smaller about its centre. */
export function scaled(region: Region, box: Box, factor: number, picture: Size): Box {
  const least = region.type === 'crop' ? SMALLEST * Math.max(1, region.size[0] / region.size[1]) : SMALLEST;
  const width = Math.max(least, box.width * factor);
  const next = { x: 0, y: 0, width, height: (box.height * width) / box.width };
  const { width: w, height: h } = region.type === 'crop' ? fitted(next, picture) : next;
  const [x, y] = [box.x + (box.width - w) / 2, box.y + (box.height - h) / 2];
  const result = { x, y, width: w, height: h };
  return region.type === 'crop' ? clamped(result, picture) : result;
}

/** As large as it is, or as large as fits. */
function fitted(box: Box, picture: Size): Box {
  const shrink = Math.min(1, picture.width / box.width, picture.height / box.height);
  return { ...box, width: box.width * shrink, height: box.height * shrink };
}

function cropKey(time: number, box: Box): CropKey {
  const { x, y, width, height } = box;
  return { time, x: round(x), y: round(y), width: round(width), height: round(height) };
}

/** What is no geometry is taken from the keyframe before. */
function highlightKey(region: Highlight, time: number, box: Box): HighlightKey {
  const before =
    [...region.keyframes].reverse().find(k => k.time <= time + SAME) ?? region.keyframes[0]!;
  const [rx, ry] = [box.width / 2, box.height / 2];
  const isFlat = region.shape === 'ground' && Math.abs(ry - rx * FLATNESS) < 0.01;
  return {
    ...before,
    time,
    x: round(box.x + rx),
    y: round(box.y + ry),
    radius_x: round(rx),
    radius_y: isFlat && before.radius_y == null ? null : round(ry)
  };
}

const radiusY = ({ shape }: Highlight, key: HighlightKey): number =>
  key.radius_y ?? key.radius_x * (shape === 'ground' ? FLATNESS : 1);

/** To a hundredth of a pixel. */
const round = (value: number, parts = 100): number => Math.round(value * parts) / parts;
