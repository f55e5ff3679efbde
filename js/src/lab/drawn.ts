/** What the form asks for as a picture: the spec that is shown, and what was moved on it by hand. */

import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';

import { Editing } from '../core/editor/editing';
import { isCrop, same, sizesOf } from '../core/editor/layers';
import { reshaped, type Region } from '../core/editor/region';
import type { Translator } from '../core/host';
import type { Facts, Spec } from '../core/types';
import { isRefusal, whyNot } from '../core/why';
import { FieldError, type Fields } from './fields';
import type { Wrong } from './inputs';
import { specOf } from './spec';

/** Where it is, is seen once it was drawn. */
export const PLACES = new Set<string>(['from', 'to']);
/** Fields that every form has. */
const ALWAYS = new Set<string>(['kind', 'quality', 'output', 'project', 'start', 'end']);

export const isField = ({ field }: Wrong, asked: string[]): boolean =>
  ALWAYS.has(field) || asked.includes(field);

export const withDrawn = (spec: Spec, effects: unknown[] | null): Spec =>
  effects ? { ...spec, sources: [{ ...spec.sources[0]!, effects }] } : spec;

/** The field of the form that a field of the spec comes from. */
function fieldOf(place: string | null | undefined): Wrong['field'] {
  const found = /(?:^|\.)(start|end|output|project|quality|transition)$/.exec(place ?? '')?.[1];
  return place?.includes('effects') ? 'sources' : ((found ?? 'sources') as Wrong['field']);
}

/** What the form asks for, as a spec that is shown and edited; and what is wrong with it. */
export function usePicture(fields: Fields, facts: Facts | null, trans: Translator) {
  const [drawn, setDrawn] = useState<unknown[] | null>(null);
  const [refused, refuse] = useState<unknown>(null);
  const [spec, error] = useMemo((): [Spec | null, unknown] => {
    try {
      return [withDrawn(specOf(fields, facts, trans), drawn), null];
    } catch (problem) {
      return [null, problem];
    }
  }, [fields, facts, drawn]);
  const editing = useMemo(() => new Editing(spec ?? { kind: '', output: '', sources: [] }), []);
  // At once: nothing else may be told of a change meanwhile.
  useLayoutEffect(() => {
    if (spec) editing.replace(spec);
  }, [spec]);
  const made = useRef(spec);
  made.current = spec;
  useEffect(
    () =>
      editing.onChange(() => {
        const effects = editing.settled.sources[0]?.effects ?? [];
        if (made.current && !same(effects, made.current.sources[0]?.effects ?? [])) setDrawn(effects);
      }),
    []
  );
  let wrong: Wrong | null = null;
  // Before anything is asked of the server, only what cannot be meant.
  if (error instanceof FieldError && (error.field === 'start' || error.field === 'end')) {
    wrong = { field: error.field, text: error.message };
  } else if (isRefusal(refused)) {
    wrong = { field: fieldOf(refused.problem.field), text: whyNot(refused, trans) };
  }
  const isPassing = error instanceof FieldError && ALWAYS.has(error.field);
  const reshape = (aspect: string) => {
    const size = facts && sizesOf(facts).find(([name]) => name === aspect)?.[1];
    const effects = drawn as Region[] | null;
    if (!size || !effects) return;
    setDrawn(effects.map(it => (isCrop(it) ? reshaped(it, size, facts) : it)));
  };
  return {
    editing,
    /** The picture that was shown last stays while a field is being typed. */
    isShown: facts !== null && editing.settled.sources.length > 0 && (spec !== null || isPassing),
    wrong,
    drawn,
    /** Begin anew with what is drawn. */
    forget: () => setDrawn(null),
    reshape,
    refuse
  };
}
