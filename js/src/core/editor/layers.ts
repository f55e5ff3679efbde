/** The parts of a spec that can be edited on the frame, and specs with a part changed: pure. */

import type { Spec } from '../types';
import type { Crop, Highlight, Region, Size } from './region';

type Source = Spec['sources'][number] & { speed?: { start: number; end: number; rate: number }[] };

/** An effect that is edited on the picture that it is given. */
export interface Layer {
  /** Its place in the spec, such as `sources[0].effects[1]`. */
  field: string;
  region: Region;
  /** The picture that it is given, as the server's previews name it; equal for equal pictures. */
  stage: string;
  /** Its keyframes are in the time of the source, or of the output. */
  clock: 'source' | 'output';
}

interface Effect {
  type: string;
}

/** These change what is where, so that what comes after them is given another picture. */
const KEEP_PLACES = new Set(['highlight', 'annotation']);

export const SOURCE_STAGE = 'sources[0]';

/** What can be edited: of one source, in its order, then of the output. */
export function layersOf(spec: Spec): Layer[] {
  if (spec.sources.length !== 1) return [];
  const found: Layer[] = [];
  const look = (effects: readonly unknown[], prefix: string, first: string, clock: Layer['clock']) => {
    let stage = first;
    (effects as readonly Effect[]).forEach((effect, i) => {
      const field = `${prefix}effects[${i}]`;
      if (effect.type === 'crop' || effect.type === 'highlight') {
        found.push({ field, region: effect as Region, stage, clock });
      }
      if (!KEEP_PLACES.has(effect.type)) stage = `${prefix}effects[${i + 1}]`;
    });
  };
  look(spec.sources[0]!.effects ?? [], 'sources[0].', SOURCE_STAGE, 'source');
  look(spec.effects ?? [], '', 'effects[0]', 'output');
  return found;
}

/** The spec with another effect at a field. */
export function withRegion(spec: Spec, field: string, region: Region): Spec {
  return withEffects(spec, field, (effects, i) => effects.map((e, k) => (k === i ? region : e)));
}

/** The spec without the effect at a field. */
export function without(spec: Spec, field: string): Spec {
  return withEffects(spec, field, (effects, i) => effects.filter((_, k) => k !== i));
}

/** With one more highlight, given the source as it is; and its field. */
export function withHighlight(spec: Spec, highlight: Highlight): [Spec, string] {
  const effects = (spec.sources[0]!.effects ?? []) as Effect[];
  const found = effects.findIndex(e => !KEEP_PLACES.has(e.type));
  const place = found < 0 ? effects.length : found;
  const next = [...effects.slice(0, place), highlight, ...effects.slice(place)];
  const kind = spec.kind === 'clip' ? 'overlay' : spec.kind;
  const sources = [{ ...spec.sources[0]!, effects: next }];
  return [{ ...spec, kind, sources }, `sources[0].effects[${place}]`];
}

/** A highlight of a look, in the middle of the picture, from a time on. */
export function newHighlight(
  picture: Size,
  time: number,
  shape: NonNullable<Highlight['shape']> = 'ellipse',
  effect: NonNullable<Highlight['effect']> = 'outline'
): Highlight {
  const { width, height } = picture;
  const radius = Math.round(Math.min(width, height) / 4);
  // A circle on the ground lies at somebody's feet, and is seen flat.
  const place =
    shape === 'ground'
      ? { y: height * 0.75, radius_x: radius / 2, radius_y: null }
      : { y: height / 2, radius_x: radius, radius_y: radius };
  const look = { stroke_opacity: null, fill_opacity: null, color: null };
  return {
    type: 'highlight',
    shape,
    effect,
    start: 0,
    end: null,
    keyframes: [{ time, x: width / 2, ...place, ...look }],
    interpolation: 'spline',
    color: '#ffd400',
    stroke_width: Math.max(2, Math.round(Math.min(width, height) / 180)),
    corner_radius: 0,
    strength: 0.6,
    feather: 0
  };
}

/** Output sizes that a crop can have: of other shapes, as large as the picture allows. */
export function sizesOf(picture: Size): [name: string, size: [number, number]][] {
  // 4:2:0 video has even sides only.
  const even = (n: number) => Math.max(16, 2 * Math.floor(n / 2 + 1e-6));
  const { width: w, height: h } = picture;
  return ['1:1', '9:16', '4:5', '16:9'].map(name => {
    const [a = 1, b = 1] = name.split(':').map(Number);
    return [name, [even(Math.min(w, (h * a) / b)), even(Math.min(h, (w * b) / a))]];
  });
}

/** Seconds of the output at a time of the only source, and back. */
export function clocks(spec: Spec): { output(time: number): number; source(time: number): number } {
  const [{ start = 0, speed = [] }] = spec.sources as [Source];
  /** Stretches of the source up to a time, with their rates. */
  const stretches = function* (): Generator<[from: number, to: number, rate: number]> {
    let at = start;
    for (const range of speed) {
      if (range.end <= at) continue;
      const from = Math.max(at, range.start);
      if (from > at) yield [at, from, 1];
      yield [from, range.end, range.rate];
      at = range.end;
    }
    yield [at, Infinity, 1];
  };
  return {
    output(time) {
      let passed = 0;
      for (const [from, to, rate] of stretches()) {
        if (time <= from) break;
        passed += (Math.min(time, to) - from) / rate;
      }
      return passed;
    },
    source(time) {
      let passed = 0;
      for (const [from, to, rate] of stretches()) {
        const length = (to - from) / rate;
        if (time <= passed + length) return from + (time - passed) * rate;
        passed += length;
      }
      return start;
    }
  };
}

/** Whether two values are the same, whatever the order of their keys; nothing equals null. */
export function same(a: unknown, b: unknown): boolean {
  if (a === b || (a == null && b == null)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  const [x, y] = [a as Record<string, unknown>, b as Record<string, unknown>];
  return [...new Set([...Object.keys(x), ...Object.keys(y)])].every(key => same(x[key], y[key]));
}

/** The part of a spec that decides the picture which an effect is given. */
export function stageSpec(spec: Spec, stage: string): Spec {
  const [source] = spec.sources;
  const common = { kind: 'concat', output: 'preview.mp4' };
  const index = Number(/effects\[(\d+)\]$/.exec(stage)?.[1] ?? 0);
  if (!stage.startsWith('sources')) {
    return { ...spec, ...common, effects: (spec.effects ?? []).slice(0, index) };
  }
  const { speed: _, ...rest } = source as typeof source & { speed?: unknown };
  return { ...common, sources: [{ ...rest, path: source!.path, effects: (source!.effects ?? []).slice(0, index) }] };
}

/** Whether there is something that can be left out. */
export const hasLooks = (spec: Spec): boolean =>
  (spec.effects?.length ?? 0) > 0 || spec.sources.some(it => (it.effects?.length ?? 0) > 0);

export const isCrop = (region: Region): region is Crop => region.type === 'crop';

function withEffects(
  spec: Spec,
  field: string,
  change: (effects: unknown[], index: number) => unknown[]
): Spec {
  const index = Number(/effects\[(\d+)\]$/.exec(field)![1]);
  if (!field.startsWith('sources')) {
    return { ...spec, effects: change([...(spec.effects ?? [])], index) };
  }
  const source = spec.sources[0]!;
  return { ...spec, sources: [{ ...source, effects: change([...(source.effects ?? [])], index) }] };
}
