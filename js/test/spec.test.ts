import { expect, test } from 'vitest';

import { english } from '../src/core/host';
import { FieldError, type Fields, type Kind } from '../src/lab/fields';
import { KINDS, offered } from '../src/lab/kinds';
import { defaults, freeName, seconds, specOf } from '../src/lab/spec';

const facts = { width: 1280, height: 720, duration: 20 };
const make = (kind: Kind, more: Partial<Fields> = {}) =>
  specOf({ ...defaults(['in/a.mp4', 'in/b.mp4'], 'balanced', ''), kind, ...more }, facts, english);

test('a form that is opened for several videos joins them in their order', () => {
  const fields = defaults(['in/a.mp4', 'in/b.mp4'], 'fast', 'x.ipynb');
  expect(specOf(fields, null, english)).toEqual({
    kind: 'concat',
    output: 'in/a-concat.mp4',
    project: 'in',
    encoding: { quality: 'fast' },
    sources: [
      { path: 'in/a.mp4', start: 0, end: null },
      { path: 'in/b.mp4', start: 0, end: null }
    ],
    transition: { type: 'cut' }
  });
  expect(() => make('concat', { sources: ['in/a.mp4', ''] })).toThrow(FieldError);
});

test('every other kind takes the part of the first video that was asked for', () => {
  for (const kind of Object.keys(KINDS) as Kind[]) {
    if (kind === 'concat') continue;
    const { sources } = make(kind, { start: '1.5', end: '0:02' });
    expect(sources).toHaveLength(1);
    expect(sources[0]).toMatchObject({ path: 'in/a.mp4', start: 1.5, end: 2 });
  }
});

test('a highlight begins in the middle of the picture, in the time of the source', () => {
  const [source] = make('overlay', { start: '2' }).sources;
  expect(source!.effects).toMatchObject([
    { type: 'highlight', keyframes: [{ time: 2, x: 640, y: 360, radius_x: 180, radius_y: 180 }] }
  ]);
});

test('a text must have words, a time code has its own', () => {
  expect(() => make('annotate', { annotation: 'text' })).toThrow('Write the text');
  const [label] = make('annotate', { annotation: 'text', text: 'Goal!' }).effects as any[];
  expect(label).toMatchObject({ kind: 'text', text: 'Goal!', anchor: 'bottom_left', size: 40 });
  expect(make('annotate').effects).toMatchObject([{ type: 'annotation', kind: 'timecode' }]);
});

test('the other selected video is the one to compare with', () => {
  const [compare] = make('compare', { start: '1' }).effects as any[];
  expect(compare).toEqual({
    type: 'compare',
    with: { path: 'in/b.mp4', start: 1, end: null },
    layout: 'side_by_side'
  });
});

test('only what the server can do is offered', () => {
  const effect = (name: string) => ({ properties: { type: { const: name } } });
  const Kind = { enum: ['clip', 'framing', 'overlay', 'compare', 'juggle'] };
  expect(offered({ $defs: { Kind, A: effect('crop'), B: effect('compare') } })).toEqual([
    'clip',
    'framing',
    'compare'
  ]);
  expect(offered({})).toEqual([]);
});

test('what cannot be meant is told with its field', () => {
  expect(() => make('clip', { start: 'soon' })).toThrow('soon is not a time');
  expect(() => make('clip', { start: '3', end: '2' })).toThrow('after the start');
  expect(() => make('framing', { to: 'end', from: 'start' })).not.toThrow();
  expect(seconds('1:02:03.5')).toBe(3723.5);
  expect(freeName('in/a.mp4', 'clip', new Set(['in/a-clip.mp4']))).toBe('in/a-clip-2.mp4');
});
