/** From what a user fills in to a spec: pure, with a sensible default for every kind. */

import type { Translator } from '../core/host';
import type { Job, Spec } from '../core/types';
import { folderOf, isLive } from '../core/types';

export type Kind = 'clip' | 'framing';
export type Place = 'start' | 'middle' | 'end';

export interface Fields {
  kind: Kind;
  source: string;
  /** As typed: `83.5`, `1:23.5`, or nothing. */
  start: string;
  end: string;
  output: string;
  project: string;
  quality: string;
  /** Width to height, such as `9:16`. */
  aspect: string;
  from: Place;
  to: Place;
}

/** Of the upright picture; null where the browser cannot tell. */
export interface Facts {
  width: number | null;
  height: number | null;
  /** In seconds. */
  duration: number | null;
}

export const ASPECTS = ['1:1', '9:16', '4:5', '16:9'];
export const SOURCE_SUFFIXES = /\.(mp4|m4v|mov|mkv|webm|avi|ts|m2ts|mts|mpg|mpeg|ogv)$/i;

/** Says which field is wrong, and what would be right. */
export class FieldError extends Error {
  constructor(
    readonly field: keyof Fields,
    message: string
  ) {
    super(message);
  }
}

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

/** What the form begins with. */
export function defaults(
  source: string,
  kind: Kind,
  taken: ReadonlySet<string>,
  quality: string,
  notebook: string
): Fields {
  return {
    kind,
    source,
    start: '',
    end: '',
    output: source ? freeName(source, kind, taken) : '',
    project: folderOf(source) || notebook,
    quality,
    aspect: '1:1',
    from: 'middle',
    to: 'middle'
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

/** The spec; throws `FieldError` for what the form itself can tell. */
export function specOf(fields: Fields, facts: Facts, trans: Translator): Spec {
  const start = seconds(fields.start) ?? 0;
  const end = seconds(fields.end);
  if (!fields.source) throw new FieldError('source', trans.__('Choose a video.'));
  if (!fields.output) throw new FieldError('output', trans.__('Give the new file a name.'));
  if (Number.isNaN(start)) throw new FieldError('start', badTime(fields.start, trans));
  if (Number.isNaN(end)) throw new FieldError('end', badTime(fields.end, trans));
  if (end !== null && end <= start) {
    throw new FieldError('end', trans.__('The end must come after the start.'));
  }
  return {
    kind: fields.kind,
    output: fields.output,
    ...(fields.project && { project: fields.project }),
    sources: [
      {
        path: fields.source,
        start,
        end,
        ...(fields.kind === 'framing' && { effects: [crop(fields, facts, start, end, trans)] })
      }
    ],
    encoding: { quality: fields.quality }
  };
}

function crop(
  fields: Fields,
  { width: w, height: h, duration }: Facts,
  start: number,
  end: number | null,
  trans: Translator
): unknown {
  if (!w || !h) {
    throw new FieldError('aspect', trans.__('Give the width and height of the source.'));
  }
  const [a = 1, b = 1] = fields.aspect.split(':').map(Number);
  // 4:2:0 video has even sides only.
  const even = (n: number) => Math.max(16, 2 * Math.floor(n / 2));
  const size = [even(Math.min(w, (h * a) / b)), even(Math.min(h, (w * b) / a))] as const;
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
    if (last === null) {
      throw new FieldError('end', trans.__('A moving frame needs an end.'));
    }
    keyframes.push(key(last, fields.to));
  }
  return { type: 'crop', size, keyframes };
}

const badTime = (text: string, trans: Translator): string =>
  trans.__('%1 is not a time. Write seconds, or minutes and seconds as 1:23.5.', text);
