/** What this browser was already told, so that it is told once: the only thing kept locally. */

import type { Job } from './types';

/** Older endings are neither remembered nor announced. */
export const KEPT_MS = 24 * 3600 * 1000;

/** The part of `localStorage` used here. */
export type Shelf = Pick<Storage, 'getItem' | 'setItem'>;

/** One ending of one job; a retry of it can end again. */
const keyOf = (job: Job): string => `${job.id}/${job.attempt}/${job.state}`;

const endOf = (job: Job): number => Date.parse(job.finished_at ?? job.created_at) || 0;

export class Acks {
  private key: string;
  /** Serves alone where nothing can be kept (private windows, a full quota). */
  private memory = new Map<string, number>();
  private begun = false;

  constructor(
    baseUrl: string,
    private shelf: Shelf | null = browserShelf(),
    private now: () => number = Date.now
  ) {
    this.key = `jupyter-export:told:${new URL(baseUrl, 'http://x/').pathname}`;
  }

  /** True once for each ending, and never for one of more than a day ago. */
  claim(job: Job): boolean {
    if (this.now() - endOf(job) > KEPT_MS) return false;
    const told = this.read();
    const key = keyOf(job);
    if (told.has(key)) return false;
    told.set(key, endOf(job));
    this.write(told);
    return true;
  }

  /** Whether this browser has been here before. A new one was not away, so it missed nothing. */
  get known(): boolean {
    return this.begun || this.memory.size > 0 || this.stored() !== null;
  }

  /** Begin here: nothing up to now needs to be told. */
  begin(jobs: readonly Job[]): void {
    this.begun = true;
    const told = this.read();
    for (const job of jobs) if (job.finished_at) told.set(keyOf(job), endOf(job));
    this.write(told);
  }

  private read(): Map<string, number> {
    const told = new Map(this.memory);
    try {
      const value: unknown = JSON.parse(this.stored() ?? '{}');
      for (const [key, time] of Object.entries(value ?? {})) {
        if (typeof time === 'number') told.set(key, time);
      }
    } catch {
      // Somebody else's text under our key: begin anew.
    }
    return told;
  }

  private write(told: Map<string, number>): void {
    const oldest = this.now() - KEPT_MS;
    this.memory = new Map([...told].filter(([, time]) => time >= oldest));
    try {
      this.shelf?.setItem(this.key, JSON.stringify(Object.fromEntries(this.memory)));
    } catch {
      // The quota is full: this page still remembers.
    }
  }

  private stored(): string | null {
    try {
      return this.shelf?.getItem(this.key) ?? null;
    } catch {
      return null;
    }
  }
}

/** Even touching `localStorage` throws where a browser forbids it. */
function browserShelf(): Shelf | null {
  try {
    return globalThis.localStorage ?? null;
  } catch {
    return null;
  }
}
