/** How a page reaches its server: straight, or through a kernel. */

import type { JobError } from './types';

/** An answer; anything that is no JSON is in `blob`. */
export interface Reply {
  status: number;
  type: string;
  json?: unknown;
  blob?: Blob;
  /** Of a piece of a file: the bytes of the whole file, and its version. */
  total?: number;
  etag?: string;
  /** Of a picture: its `x-` headers. */
  headers?: Record<string, string>;
}

export interface Ask {
  method: string;
  /** Below `{base_url}jupyter-export/`, with its query. */
  path: string;
  body?: unknown;
  /** Makes a repeated POST the same request. */
  key?: string;
  /** Through a relay: the first byte of the piece that is wanted of a file. */
  from?: number;
  /** Nobody waits for the answer any more. */
  signal?: AbortSignal;
}

/** One connection to the feed. */
export interface Channel {
  send(message: unknown): void;
  close(): void;
}

export interface ChannelEvents {
  opened(): void;
  heard(message: unknown): void;
  /** Called once, also when it never opened. */
  closed(code: number, reason: string): void;
}

export interface Transport {
  readonly kind: 'direct' | 'relay';
  /** Rejects with `Unreachable` when there is no answer at all. */
  ask(ask: Ask): Promise<Reply>;
  open(events: ChannelEvents): Channel;
  /** Where the browser itself can load a file of the server's root; null: nowhere. */
  fileUrl(path: string): string | null;
  /** Where the browser itself can load what a job has made; null: only piece by piece. */
  filmUrl(id: string): string | null;
}

/** Nothing answered. */
export class Unreachable extends Error {
  override name = 'Unreachable';
}

/** The server said no, in problem details (RFC 9457). */
export class Refusal extends Error {
  override name = 'Refusal';
  constructor(
    readonly status: number,
    readonly problem: JobError & Record<string, unknown>
  ) {
    super(problem.detail || problem.title);
  }
  /** What to do about it. */
  get advice(): string {
    return this.problem.advice ?? '';
  }
  /** The job in the way, if one is. */
  get job(): string | null {
    return typeof this.problem.job === 'string' ? this.problem.job : null;
  }
}
