/** The kinds of exports: what the form asks for each, and what of a spec that becomes. */

import { newHighlight, sizesOf } from '../core/editor/layers';
import type { Translator } from '../core/host';
import type { Facts, Spec } from '../core/types';
import { FieldError, type Fields, type Kind, type Place, type TextField } from './fields';

type Source = Spec['sources'][number];

export interface Given {
  fields: Fields;
  facts: Facts | null;
  sources: Source[];
  /** In seconds of the first source. */
  start: number;
  end: number | null;
  trans: Translator;
}

export interface KindOf {
  label(trans: Translator): string;
  /** One source, and a part of it; else whole sources. */
  isRange: boolean;
  /** Whether the size of the source decides what is made. */
  needsFacts: boolean;
  /** The effect without which a server cannot do this. */
  effect?: string;
  /** Effects of the source are moved on the picture. */
  isDrawn?: boolean;
  /** What is asked beyond what all kinds ask. */
  inputs(fields: Fields): TextField[];
  /** What the spec has beyond what all specs have. */
  build(given: Given): Pick<Spec, 'sources' | 'transition' | 'effects'>;
}

export const KINDS: Record<Kind, KindOf> = {
  clip: {
    label: trans => trans.__('Clip: a part of the video'),
    isRange: true,
    needsFacts: false,
    inputs: () => [],
    build: ({ sources }) => ({ sources })
  },
  concat: {
    label: trans => trans.__('Join: videos one after another'),
    isRange: false,
    needsFacts: false,
    inputs: () => ['transition'],
    build: ({ sources, fields, trans }) => {
      if (sources.length < 2) {
        throw new FieldError('sources', trans.__('Choose at least two videos to join.'));
      }
      return { sources, transition: { type: fields.transition } };
    }
  },
  framing: {
    label: trans => trans.__('Framing: another shape, cropped'),
    isRange: true,
    needsFacts: true,
    effect: 'crop',
    isDrawn: true,
    inputs: () => ['aspect', 'from', 'to'],
    build: given => ({ sources: [{ ...given.sources[0]!, effects: [crop(given)] }] })
  },
  overlay: {
    label: trans => trans.__('Highlight: a region of the picture'),
    isRange: true,
    needsFacts: true,
    effect: 'highlight',
    isDrawn: true,
    inputs: () => [],
    build: ({ sources, facts, start, trans }) => {
      const highlight = newHighlight(known(facts, trans), start);
      return { sources: [{ ...sources[0]!, effects: [highlight] }] };
    }
  },
  annotate: {
    label: trans => trans.__('Annotate: a time code or a text'),
    isRange: true,
    needsFacts: true,
    effect: 'annotation',
    inputs: ({ annotation }) =>
      annotation === 'text' ? ['annotation', 'text', 'anchor'] : ['annotation', 'anchor'],
    build: ({ sources, fields, facts, trans }) => {
      const { width, height } = known(facts, trans);
      const { annotation: kind, text, anchor } = fields;
      if (kind === 'text' && !text) {
        throw new FieldError('text', trans.__('Write the text to be shown.'));
      }
      const size = Math.max(8, Math.round(Math.min(width, height) / 18));
      const look = { anchor, size, padding: size / 3, background: '#000000' };
      const words = kind === 'text' && { text };
      return { sources, effects: [{ type: 'annotation', kind, ...words, ...look }] };
    }
  },
  compare: {
    label: trans => trans.__('Compare: with another version'),
    isRange: true,
    needsFacts: false,
    effect: 'compare',
    inputs: () => ['other', 'layout'],
    build: ({ sources, fields, start, end, trans }) => {
      if (!fields.other) {
        throw new FieldError('other', trans.__('Choose the video to compare with.'));
      }
      const other = { path: fields.other, start, end };
      return { sources, effects: [{ type: 'compare', with: other, layout: fields.layout }] };
    }
  }
};

/** The kinds that a server can do, by the JSON Schema of its specs. */
export function offered(schema: SpecSchema): Kind[] {
  const definitions = schema.$defs ?? {};
  const effects = new Set(Object.values(definitions).map(it => it.properties?.type?.const));
  const kinds = new Set(definitions.Kind?.enum);
  const all = Object.keys(KINDS) as Kind[];
  return all.filter(kind => {
    const { effect } = KINDS[kind];
    return kinds.has(kind) && (effect === undefined || effects.has(effect));
  });
}

export interface SpecSchema {
  $defs?: Record<
    string,
    { enum?: string[]; properties?: Record<string, { const?: string } | undefined> }
  >;
}

/** A crop of the wanted shape, as large as fits, that rests or moves from place to place. */
function crop({ fields, facts, start, end, trans }: Given): unknown {
  const { width: w, height: h, duration } = known(facts, trans);
  const [, size] = sizesOf({ width: w, height: h }).find(([name]) => name === fields.aspect)!;
  const at = (place: Place) => ({ start: 0, middle: 0.5, end: 1 })[place];
  const key = (time: number, place: Place) => ({
    time,
    x: (w - size[0]) * at(place),
    y: (h - size[1]) * at(place),
    width: size[0],
    height: size[1]
  });
  const keyframes = [key(start, fields.from)];
  if (fields.from !== fields.to) {
    const last = end ?? duration;
    if (last === null) throw new FieldError('end', trans.__('A moving frame needs an end.'));
    keyframes.push(key(last, fields.to));
  }
  return { type: 'crop', size, keyframes, interpolation: 'spline' };
}

function known(facts: Facts | null, trans: Translator): Facts {
  if (!facts) throw new FieldError('sources', trans.__('The size of the video is not known.'));
  return facts;
}
