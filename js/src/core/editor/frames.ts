/** Rendered frames of specs that change: asked for a little later, and only the latest. */

import type { Pictured, Rest, Wanted } from '../rest';

export interface Frame extends Omit<Pictured, 'blob'> {
  /** In this page; gone when the next one is told. */
  url: string;
  wanted: Wanted;
}

/** Not at each step of a slider or letter of a field … */
const PAUSE_MS = 120;
/** … but now and then, while it moves. */
const PATIENCE_MS = 450;
/** Times are told in decimals. */
const ROUNDING = 1e-6;

export class Frames {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private since = 0;
  private wanted: Wanted | null = null;
  private asked: { it: Wanted; life: AbortController } | null = null;
  private shown: Frame | null = null;

  /** `tell` hears of each frame, or why there is none. */
  constructor(
    private rest: Pick<Rest, 'preview'>,
    private tell: (frame: Frame | null, error: unknown) => void
  ) {}

  /** This is to be shown now; null is nothing. */
  want(it: Wanted | null): void {
    if (it && this.wanted && keyOf(it) === keyOf(this.wanted) && it.time === this.wanted.time) return;
    this.wanted = it;
    clearTimeout(this.timer);
    if (!it || (!this.asked && covers(this.shown, it))) {
      this.since = 0;
      return;
    }
    this.since ||= Date.now();
    const left = Math.max(0, this.since + PATIENCE_MS - Date.now());
    this.timer = setTimeout(() => this.again(), Math.min(PAUSE_MS, left));
  }

  /** Ask now, also for what failed. */
  again(): void {
    clearTimeout(this.timer);
    this.since = 0;
    if (this.wanted) void this.ask(this.wanted);
  }

  close(): void {
    this.wanted = null;
    clearTimeout(this.timer);
    this.asked?.life.abort();
    this.asked = null;
    if (this.shown) URL.revokeObjectURL(this.shown.url);
    this.shown = null;
  }

  private async ask(it: Wanted): Promise<void> {
    this.asked?.life.abort();
    const life = new AbortController();
    this.asked = { it, life };
    try {
      const { blob, ...facts } = await this.rest.preview(it, life.signal);
      if (life.signal.aborted) return;
      const old = this.shown;
      this.shown = { ...facts, url: URL.createObjectURL(blob), wanted: it };
      this.asked = null;
      this.tell(this.shown, null);
      if (old) URL.revokeObjectURL(old.url);
    } catch (error) {
      if (life.signal.aborted) return;
      this.asked = null;
      this.tell(null, error);
    }
  }
}

/** Whether a frame is what is wanted. */
export function covers(frame: Frame | null, it: Wanted): boolean {
  if (!frame || keyOf(frame.wanted) !== keyOf(it)) return false;
  const isWithin = it.time >= frame.time - ROUNDING && it.time < frame.next - ROUNDING;
  return isWithin || frame.wanted.time === it.time;
}

const keyOf = ({ time: _, ...rest }: Wanted): string => JSON.stringify(rest);
