import { expect, test } from 'vitest';

import {
  boxAt,
  clamped,
  moved,
  reshaped,
  resized,
  scaled,
  withBox,
  withoutKey,
  withTime,
  type Crop,
  type Highlight
} from '../src/core/editor/region';

const picture = { width: 1280, height: 720 };
const crop: Crop = {
  type: 'crop',
  size: [360, 640],
  keyframes: [{ time: 1, x: 100, y: 40, width: 360, height: 640 }]
};
const ring: Highlight = {
  type: 'highlight',
  shape: 'ground',
  keyframes: [{ time: 0, x: 640, y: 500, radius_x: 100, fill_opacity: 0.5, color: '#ff0000' }]
};

test('a region that is moved where it has no keyframe gets one there, and rests before it', () => {
  const box = { x: 300, y: 40, width: 360, height: 640 };
  const edited = withBox(crop, 3, box);
  expect(edited.keyframes).toHaveLength(2);
  expect(boxAt(edited, 1)).toEqual({ x: 100, y: 40, width: 360, height: 640 });
  expect(boxAt(edited, 2).x).toBe(200);
  expect(boxAt(edited, 9)).toEqual(box);
});

test('a region that is moved at a keyframe moves that one, in spite of rounded times', () => {
  const edited = withBox(crop, 1.00004, { x: 0, y: 0, width: 360, height: 640 });
  expect(edited.keyframes).toEqual([{ time: 1, x: 0, y: 0, width: 360, height: 640 }]);
});

test('a crop stays inside the picture and keeps the shape of the result', () => {
  const box = boxAt(crop, 0);
  expect(moved(crop, box, -500, 500, picture)).toEqual({ x: 0, y: 80, width: 360, height: 640 });
  for (const corner of [[1, 1], [-1, -1], [1, -1], [-1, 1]] as const) {
    for (const [x, y] of [[5000, 5000], [-900, 40], [120, 60], [700, 300]] as const) {
      const sized = resized(crop, box, corner, x, y, picture);
      expect(sized.width / sized.height).toBeCloseTo(360 / 640, 9);
      const inside = clamped(sized, picture);
      for (const name of ['x', 'y', 'width', 'height'] as const) {
        expect(inside[name]).toBeCloseTo(sized[name], 6);
      }
    }
  }
  const large = scaled(crop, box, 100, picture);
  expect(large).toMatchObject({ y: 0, height: 720 });
});

test('a ring on the ground stays flat, and keeps what is not its place', () => {
  const box = boxAt(ring, 0);
  expect(box.height).toBeCloseTo(70, 9);
  const sized = resized(ring, box, [1, 1], 840, 0, picture);
  const edited = withBox(ring, 2, sized);
  expect(edited.keyframes[1]).toEqual({
    time: 2, x: 640, y: 500, radius_x: 200, radius_y: null, fill_opacity: 0.5, color: '#ff0000'
  });
});

test('a keyframe moves in time no further than its neighbours, and the last one stays', () => {
  const three = [2, 5].reduce((it, t) => withBox(it, t, boxAt(it, t)), crop);
  expect(withTime(three, 1, 99).keyframes.map(k => k.time)).toEqual([1, 4.999, 5]);
  expect(withTime(three, 0, -4).keyframes[0]!.time).toBe(0);
  expect(withoutKey(three, 1).keyframes.map(k => k.time)).toEqual([1, 5]);
  expect(withoutKey(crop, 0)).toBe(crop);
});

test('another shape of the result keeps the middle of each rectangle', () => {
  const { size, keyframes } = reshaped(crop, [720, 720], picture);
  expect(size).toEqual([720, 720]);
  expect(keyframes[0]!.width).toBe(keyframes[0]!.height);
  expect(keyframes[0]!.x + keyframes[0]!.width / 2).toBeCloseTo(280, 1);
});
