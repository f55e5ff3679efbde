/** From what a user fills in to a spec: pure, with a sensible default for every kind. */

import type { Translator } from '../core/host';
import type { Facts, Job, Spec } from '../core/types';
import { folderOf, isLive } from '../core/types';
import { FieldError, type Fields, type Kind } from './fields';
import { KINDS } from './kinds';

export const SOURCE_SUFFIXES = /\.(mp4|m4v|mov|mkv|webm|avi|ts|m2ts|mts|mpg|mpeg|ogv)$/i;

/** Seconds from `83.5`, `1:23.5` or `0:01:23`; null for nothing. */
export function seconds(text: string): number | null {
  const trimmed = text.trim();
  if (!trimmed) return null;
  if (!/^(\d+:){0,2}\d+(\.\d*)?$/.test(trimmed)) return NaN;
  return trimmed.split(':').reduce((sum, part) => sum * 60 + Number(part), 0);
}

/** A free name beside the source: `match-clip.mp4`, then `match-clip-2.mp4`. */
export function freeName(source: string, kind: Kind, taken: ReadonlySet<string>): string {
  const name = source.slice(source.lastIndexOf('/') + 1);
  const stem = name.replace(/\.[^.]+$/, '') || 'video';
  const folder = folderOf(source);
  for (let n = 1; ; n++) {
    const path = `${folder && `${folder}/`}${stem}-${kind}${n > 1 ? `-${n}` : ''}.mp4`;
    if (!taken.has(path)) return path;
  }
}

/** What the form begins with; several videos are to be joined. */
export function defaults(sources: string[], quality: string, notebook: string): Fields {
  const kind = sources.length > 1 ? 'concat' : 'clip';
  const [source = ''] = sources;
  return {
    kind,
    sources: source ? sources : [''],
    start: '',
    end: '',
    output: source ? freeName(source, kind, new Set()) : '',
    project: folderOf(source) || notebook,
    quality,
    aspect: '1:1',
    from: 'middle',
    to: 'middle',
    transition: 'cut',
    annotation: 'timecode',
    text: '',
    anchor: 'bottom_left',
    other: sources[1] ?? '',
    layout: 'side_by_side'
  };
}

/** The live job that a submit of this would meet, if there is one. */
export function inTheWay(fields: Fields, jobs: Iterable<Job>): Job | null {
  for (const job of jobs) {
    if (!isLive(job)) continue;
    if (fields.output && job.output === fields.output) return job;
    if (fields.project && job.project === fields.project && job.kind === fields.kind) return job;
  }
  return null;
}

/**
 * The spec; throws `FieldError` for what the form itself can tell. The facts are those of the first
 * source; only kinds that need them (`KINDS`) ask.
 */
export function specOf(fields: Fields, facts: Facts | null, trans: Translator): Spec {
  const kind = KINDS[fields.kind];
  const [start, end] = kind.isRange ? range(fields, trans) : [0, null];
  const paths = fields.sources.filter(Boolean).slice(0, kind.isRange ? 1 : undefined);
  if (!paths.length) throw new FieldError('sources', trans.__('Choose a video.'));
  if (!fields.output) throw new FieldError('output', trans.__('Give the new file a name.'));
  const sources = paths.map(path => ({ path, start, end }));
  return {
    kind: fields.kind,
    output: fields.output,
    ...(fields.project && { project: fields.project }),
    encoding: { quality: fields.quality },
    ...kind.build({ fields, facts, sources, start, end, trans })
  };
}

function range(fields: Fields, trans: Translator): [number, number | null] {
  const start = seconds(fields.start) ?? 0;
  const end = seconds(fields.end);
  if (Number.isNaN(start)) throw new FieldError('start', badTime(fields.start, trans));
  if (Number.isNaN(end)) throw new FieldError('end', badTime(fields.end, trans));
  if (end !== null && end <= start) {
    throw new FieldError('end', trans.__('The end must come after the start.'));
  }
  return [start, end];
}

const badTime = (text: string, trans: Translator): string =>
  trans.__('%1 is not a time. Write seconds, or minutes and seconds as 1:23.5.', text);
