import { expect, test, vi } from 'vitest';

import { Editing } from '../src/core/editor/editing';
import { Frames } from '../src/core/editor/frames';
import { clocks, layersOf, withHighlight, newHighlight, same } from '../src/core/editor/layers';
import type { Pictured, Wanted } from '../src/core/rest';
import type { Spec } from '../src/core/types';

const crop = { type: 'crop', size: [720, 720], keyframes: [{ time: 0, x: 0, y: 0, width: 720, height: 720 }] };
const spec = (effects: unknown[], more = {}): Spec => ({
  kind: 'framing',
  output: 'a.mp4',
  sources: [{ path: 'a.mp4', start: 1, end: 5, effects, ...more }]
});

test('each drag is one step, and what somebody else takes back is taken back here, too', () => {
  const [one, two, three] = [spec([1]), spec([2]), spec([3])];
  const editing = new Editing(one);
  editing.drag(spec([1.5]));
  editing.drag(two);
  expect(editing.settled).toBe(one);
  expect(editing.canUndo).toBe(false);
  editing.drop();
  editing.edit(three);
  editing.take(structuredClone(two));
  expect(editing.canRedo).toBe(true);
  editing.undo();
  expect(editing.settled).toEqual(one);
  expect(editing.canUndo).toBe(false);
  editing.redo();
  editing.take(three);
  expect([editing.canUndo, editing.canRedo]).toEqual([true, false]);
});

test('a drag that is given up changes nothing', () => {
  const editing = new Editing(spec([1]));
  editing.drag(spec([2]));
  editing.drop(false);
  expect([editing.spec, editing.canUndo]).toEqual([spec([1]), false]);
});

test('defaults that the kernel fills in are no step', () => {
  const editing = new Editing(spec([{ type: 'highlight', keyframes: [{ time: 0 }] }]));
  editing.take(spec([{ keyframes: [{ time: 0, color: null }], type: 'highlight' }]));
  expect(editing.canUndo).toBe(false);
});

test('a highlight lies on the whole source, beneath the crop; what follows a crop on its result', () => {
  const look = newHighlight({ width: 1280, height: 720 }, 2);
  const [made, field] = withHighlight(spec([crop, look]), look);
  expect(field).toBe('sources[0].effects[0]');
  expect(layersOf(made).map(it => it.stage)).toEqual([
    'sources[0]',
    'sources[0]',
    'sources[0].effects[2]'
  ]);
  expect(layersOf({ ...made, sources: [...made.sources, made.sources[0]!] })).toEqual([]);
});

test('the time of the output follows the speed of the source, there and back', () => {
  const { output, source } = clocks(spec([], { speed: [{ start: 2, end: 3, rate: 2 }] }));
  expect([1, 2, 2.5, 3, 5].map(output)).toEqual([0, 1, 1.25, 1.5, 3.5]);
  for (const time of [1, 1.7, 2, 2.3, 3, 4.9]) expect(source(output(time))).toBeCloseTo(time, 9);
});

test('of many wishes only the latest is asked for, and an older answer is not shown', async () => {
  vi.useFakeTimers();
  try {
    const asked: { wanted: Wanted; signal: AbortSignal; answer(it: Pictured): void }[] = [];
    const rest = {
      preview: (wanted: Wanted, signal?: AbortSignal) =>
        new Promise<Pictured>(answer => asked.push({ wanted, signal: signal!, answer }))
    };
    const told: number[] = [];
    const frames = new Frames(rest, frame => told.push(frame!.time));
    const wish = (time: number) => frames.want({ spec: spec([]), time, show: 'result', width: 640 });
    const picture = (time: number) => ({ blob: new Blob(), time, next: time + 0.04, duration: 4, width: 2, height: 2 });
    for (const time of [0, 0.1, 0.2]) wish(time);
    await vi.advanceTimersByTimeAsync(1000);
    expect(asked.map(it => it.wanted.time)).toEqual([0.2]);
    wish(1);
    await vi.advanceTimersByTimeAsync(1000);
    expect(asked[0]!.signal.aborted).toBe(true);
    asked[0]!.answer(picture(0.2));
    asked[1]!.answer(picture(1));
    await vi.advanceTimersByTimeAsync(0);
    expect(told).toEqual([1]);
    // The same frame need not be asked for again.
    wish(1.03);
    await vi.advanceTimersByTimeAsync(1000);
    expect(asked).toHaveLength(2);
    // A slider that never rests shows frames all the same.
    for (let n = 0; n < 30; n++) {
      wish(2 + n / 10);
      await vi.advanceTimersByTimeAsync(50);
    }
    expect(asked.length).toBeGreaterThan(3);
    frames.close();
    expect(asked.at(-1)!.signal.aborted).toBe(true);
  } finally {
    vi.useRealTimers();
  }
});

test('the order of keys does not tell values apart, their contents do', () => {
  expect(same({ a: 1, b: [1, { c: null }] }, { b: [1, {}], a: 1 })).toBe(true);
  expect(same({ a: [1, 2] }, { a: [1] })).toBe(false);
});
