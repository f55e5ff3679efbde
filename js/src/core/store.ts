/** Every job as last heard, in signals: durable facts and volatile progress apart. */

import { batch, computed, signal, type ReadonlySignal, type Signal } from '@preact/signals';

import {
  isLive,
  isRunning,
  type FeedEvent,
  type FeedMessage,
  type Job,
  type Link,
  type Positions,
  type Progress,
  type ProgressMessage,
  type QueueState,
  type Segments,
  type Snapshot
} from './types';

/** One job. Progress has signals of its own, so that a tick repaints one bar and not the list. */
export interface Entry {
  readonly id: string;
  readonly job: Signal<Job>;
  readonly progress: Signal<Progress>;
  readonly segments: Signal<Segments>;
}

/** Something durable that was heard; `before` is null for a job that was not known. */
export interface Change {
  job: Job;
  before: Job | null;
  /** From a snapshot: it may have happened long ago. */
  late: boolean;
}

/** Where a feed has got to: `hello` carries it. */
export interface Position {
  epoch: string | null;
  since: number | null;
}

export class Store {
  readonly link = signal<Link>('connecting');
  /** Why the link is down, when it is known. */
  readonly reason = signal('');
  readonly queue = signal<QueueState>('running');
  /** What users should know of their jobs' database; empty as a rule. */
  readonly notice = signal('');
  /** False until the first snapshot: an empty list is not yet "no exports". */
  readonly loaded = signal(false);
  readonly entries = signal<ReadonlyMap<string, Entry>>(new Map());

  /** Running, then waiting in the order of the queue. */
  readonly active: ReadonlySignal<Entry[]> = computed(() =>
    [...this.entries.value.values()].filter(e => isLive(e.job.value)).sort(byPlace)
  );
  /** Finished, the latest first. */
  readonly finished: ReadonlySignal<Entry[]> = computed(() =>
    [...this.entries.value.values()].filter(e => !isLive(e.job.value)).sort(byEnd)
  );
  readonly runningCount = computed(
    () => this.active.value.filter(e => isRunning(e.job.value)).length
  );
  /** Every project by the state of its latest job. */
  readonly projects: ReadonlySignal<ReadonlyMap<string, { jobs: number; complete: boolean }>> =
    computed(() => {
      const found = new Map<string, { jobs: number; latest: Job }>();
      for (const { job } of this.entries.value.values()) {
        const { project, created_at } = job.value;
        if (project === null) continue;
        const known = found.get(project);
        const latest = known && known.latest.created_at > created_at ? known.latest : job.value;
        found.set(project, { jobs: (known?.jobs ?? 0) + 1, latest });
      }
      return new Map(
        [...found]
          .sort(([a], [b]) => a.localeCompare(b))
          .map(([name, { jobs, latest }]) => [
            name,
            { jobs, complete: latest.state === 'completed' }
          ])
      );
    });

  private epoch: string | null = null;
  private seq: number | null = null;
  /** After a hello, the next event follows `seq` whatever its number. */
  private resumed = false;
  private listeners = new Set<(changes: Change[]) => void>();
  private hearers = new Set<() => void>();

  /** What a hello on a new connection says; what comes after it, comes after this. */
  resume(): Position {
    this.resumed = true;
    return { epoch: this.epoch, since: this.seq };
  }

  /** Forget where we were: the next hello asks for a snapshot. */
  forget(): void {
    this.epoch = this.seq = null;
  }

  /** Hear of durable changes, after they are in the signals. Returns the undo. */
  onChange(listener: (changes: Change[]) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Hear that anything was taken in, progress too. Returns the undo. */
  onAny(listener: () => void): () => void {
    this.hearers.add(listener);
    return () => this.hearers.delete(listener);
  }

  entry(id: string): Entry | undefined {
    return this.entries.value.get(id);
  }

  /**
   * Take in what the feed says; hearing it twice does no harm.
   *
   * Returns false when an event is missing before this one: say hello again.
   */
  receive(message: FeedMessage): boolean {
    const complete = this.take(message);
    for (const hearer of this.hearers) hearer();
    return complete;
  }

  private take(message: FeedMessage): boolean {
    switch (message.type) {
      case 'snapshot':
        this.restart(message);
        return true;
      case 'event':
        return this.happened(message);
      case 'progress':
        this.progressed(message);
        return true;
      case 'positions':
        this.placed(message.positions);
        return true;
      default:
        return true;
    }
  }

  /** Take in jobs that REST gave, such as older ones; what the feed says stays stronger. */
  add(jobs: readonly Job[]): void {
    const unknown = jobs.filter(job => !this.entries.value.has(job.id));
    if (unknown.length === 0) return;
    const entries = new Map(this.entries.value);
    for (const job of unknown) entries.set(job.id, newEntry(job));
    this.entries.value = entries;
  }

  /** The places in the line change without an event of the job's own. */
  private placed(positions: Positions['positions']): void {
    batch(() => {
      for (const [id, [queue_position, waiting_for]] of Object.entries(positions)) {
        const entry = this.entries.value.get(id);
        const job = entry?.job.peek();
        if (entry && job?.state === 'queued') {
          entry.job.value = { ...job, queue_position, waiting_for };
        }
      }
    });
  }

  private restart(snapshot: Snapshot): void {
    const sameHistory = this.epoch === snapshot.epoch;
    if (sameHistory && this.seq !== null && snapshot.seq < this.seq) return;
    const changes: Change[] = [];
    batch(() => {
      const before = this.entries.value;
      const entries = new Map<string, Entry>();
      for (const job of snapshot.jobs) {
        const known = sameHistory ? before.get(job.id) : undefined;
        changes.push({ job, before: known?.job.peek() ?? null, late: true });
        entries.set(job.id, known ?? newEntry(job));
        if (known) put(known, job, true);
      }
      this.entries.value = entries;
      this.queue.value = snapshot.queue.state;
      this.notice.value = snapshot.queue.notice ?? '';
      this.loaded.value = true;
    });
    this.epoch = snapshot.epoch;
    this.seq = snapshot.seq;
    this.resumed = false;
    this.tell(changes);
  }

  private happened(event: FeedEvent): boolean {
    // Before the first snapshot there is nothing that an event could follow.
    if (this.seq === null) return false;
    if (event.seq <= this.seq) return true;
    if (event.seq > this.seq + 1 && !this.resumed) return false;
    this.seq = event.seq;
    this.resumed = false;
    const { job } = event;
    if (event.queue) this.queue.value = event.queue.state;
    if (!job) return true;
    const known = this.entries.value.get(job.id);
    const before = known?.job.peek() ?? null;
    if (event.event === 'deleted') {
      const entries = new Map(this.entries.value);
      entries.delete(job.id);
      this.entries.value = entries;
      return true;
    }
    batch(() => {
      if (known) put(known, job, false);
      else this.entries.value = new Map(this.entries.value).set(job.id, newEntry(job));
    });
    this.tell([{ job, before, late: false }]);
    return true;
  }

  private progressed({ job: id, progress, segments, waiting_for = null }: ProgressMessage): void {
    const entry = this.entries.value.get(id);
    const job = entry?.job.peek();
    if (!entry || !job || !isRunning(job)) return;
    batch(() => {
      entry.progress.value = progress;
      if (segments) entry.segments.value = segments;
      if (job.waiting_for !== waiting_for) entry.job.value = { ...job, waiting_for };
    });
  }

  private tell(changes: Change[]): void {
    if (changes.length) for (const listener of [...this.listeners]) listener(changes);
  }
}

function newEntry(job: Job): Entry {
  return {
    id: job.id,
    job: signal(job),
    progress: signal(job.progress),
    segments: signal(job.segments)
  };
}

/** Bring an entry up to date. */
function put(entry: Entry, job: Job, exact: boolean): void {
  const before = entry.job.peek();
  const known = entry.progress.peek();
  // A durable event knows progress only to the segment; it must not set a running bar back.
  const keep =
    !exact &&
    isRunning(job) &&
    isRunning(before) &&
    before.attempt === job.attempt &&
    known.percent > job.progress.percent;
  entry.job.value = { ...job, spec: job.spec ?? before.spec };
  entry.progress.value = keep ? { ...known, phase: job.progress.phase } : job.progress;
  entry.segments.value = job.segments;
}

function byPlace({ job: { value: a } }: Entry, { job: { value: b } }: Entry): number {
  const running = Number(isRunning(b)) - Number(isRunning(a));
  if (running) return running;
  if (isRunning(a)) return compare(a.started_at ?? '', b.started_at ?? '') || compare(a.id, b.id);
  return (
    (a.queue_position ?? Infinity) - (b.queue_position ?? Infinity) ||
    b.priority - a.priority ||
    compare(a.created_at, b.created_at)
  );
}

const byEnd = ({ job: { value: a } }: Entry, { job: { value: b } }: Entry): number =>
  compare(b.finished_at ?? b.created_at, a.finished_at ?? a.created_at) || compare(b.id, a.id);

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
