/** A server that the test plays, behind a transport. */

import type { Ask, Channel, ChannelEvents, Reply, Transport } from '../src/core/transport';
import type { Job, Progress, State } from '../src/core/types';

export function progress(percent = 0, more: Partial<Progress> = {}): Progress {
  return { phase: 'rendering', frames: 0, total_frames: null, percent, fps: null, eta_s: null, ...more };
}

export function job(id: string, state: State = 'running', more: Partial<Job> = {}): Job {
  return {
    id,
    kind: 'clip',
    project: null,
    state,
    paused: false,
    cancel_requested: false,
    output: `${id}.mp4`,
    priority: 0,
    queue_position: null,
    waiting_for: null,
    progress: progress(),
    segments: { copied: 0, rendered: 0, reused: 0, total: 0 },
    encoder: null,
    error: null,
    notes: [],
    result: null,
    attempt: 1,
    not_before: null,
    created_at: '2026-01-01T00:00:00.000Z',
    started_at: null,
    finished_at: null,
    ...more
  };
}

export class FakeServer implements Transport {
  readonly kind = 'direct';
  /** Every connection that was opened, the latest last. */
  channels: { events: ChannelEvents; sent: any[]; open: boolean }[] = [];
  asked: Ask[] = [];
  answer: (ask: Ask) => Reply = () => ({ status: 200, type: 'application/json', json: { jobs: [] } });

  async ask(ask: Ask): Promise<Reply> {
    this.asked.push(ask);
    return this.answer(ask);
  }

  open(events: ChannelEvents): Channel {
    const channel = { events, sent: [] as any[], open: true };
    this.channels.push(channel);
    return {
      send: message => void channel.sent.push(message),
      close: () => (channel.open = false)
    };
  }

  get last() {
    return this.channels.at(-1)!;
  }

  accept(): void {
    this.last.events.opened();
  }

  say(message: unknown): void {
    this.last.events.heard(message);
  }

  snapshot(seq: number, jobs: Job[], epoch = 'e', notice: string | null = null): void {
    this.say({ type: 'snapshot', epoch, seq, jobs, queue: { state: 'running', notice } });
  }

  cut(code = 1006): void {
    this.last.events.closed(code, '');
  }

  fileUrl(path: string): string {
    return `/files/${path}`;
  }

  filmUrl(id: string): string {
    return `/jobs/${id}/file`;
  }
}
