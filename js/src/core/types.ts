/** What the server says: jobs, events and errors as REST and feed carry them. */

export type State = 'queued' | 'running' | 'publishing' | 'completed' | 'failed' | 'cancelled';

export interface Progress {
  phase: string;
  frames: number;
  total_frames: number | null;
  /** 0 to 100. */
  percent: number;
  /** Frames rendered per second, lately. */
  fps: number | null;
  /** Seconds left. */
  eta_s: number | null;
}

export interface Segments {
  copied: number;
  rendered: number;
  reused: number;
  total: number;
}

export interface JobError {
  type: string;
  title: string;
  detail: string;
  advice: string;
  field?: string | null;
}

export interface Spec {
  kind: string;
  output: string;
  project?: string | null;
  sources: { path: string; start?: number; end?: number | null; effects?: unknown[] }[];
  transition?: unknown;
  effects?: unknown[];
  encoding?: Record<string, unknown>;
}

/** What an export would take and be. */
export interface Estimate {
  seconds: number;
  /** How many finished exports like it that rests on. */
  examples: number;
  bytes: number;
  segments: Segments;
  /** GPU memory that would be reserved. */
  vram_mib: number | null;
  /** Why it would not be taken in. */
  refusal: JobError | null;
}

/** What a video is like: upright, with square pixels. */
export interface Facts {
  width: number;
  height: number;
  /** In seconds. */
  duration: number | null;
}

export interface Job {
  id: string;
  kind: string;
  project: string | null;
  state: State;
  paused: boolean;
  cancel_requested: boolean;
  /** Relative to the server's root. */
  output: string;
  priority: number;
  queue_position: number | null;
  waiting_for: string | null;
  progress: Progress;
  segments: Segments;
  encoder: { name: string; reason: string } | null;
  /** In MiB; the peak once it was measured. Servers of before do not tell. */
  gpu_memory?: { reserved_mib: number; peak_mib: number | null } | null;
  error: JobError | null;
  notes: string[];
  result: { bytes?: number; frames?: number; duration?: number } | null;
  attempt: number;
  not_before: string | null;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  /** The feed leaves out very long ones; it never changes. */
  spec?: Spec | null;
}

/** Of the queue as a whole: running, paused or draining. */
export type QueueState = 'running' | 'paused' | 'draining';

export interface Snapshot {
  type: 'snapshot';
  epoch: string;
  seq: number;
  jobs: Job[];
  /** `notice`: what users should know of their jobs' database. */
  queue: { state: QueueState; notice?: string | null };
}

export interface FeedEvent {
  type: 'event';
  seq: number;
  event: string;
  job?: Job;
  queue?: { state: QueueState };
}

export interface ProgressMessage {
  type: 'progress';
  job: string;
  progress: Progress;
  segments?: Segments;
  /** What keeps it from going on now. */
  waiting_for?: string | null;
}

/** Where these queued jobs stand now: the place in the line, and the reason for waiting. */
export interface Positions {
  type: 'positions';
  positions: Record<string, [number | null, string | null]>;
}

export type FeedMessage =
  | Snapshot
  | FeedEvent
  | ProgressMessage
  | Positions
  | { type: 'ping' }
  | { type: 'pong' };

/** How the page and the server stand, as far as the page can honestly tell. */
export type Link = 'connecting' | 'live' | 'reconnecting' | 'offline';

const LIVE: ReadonlySet<State> = new Set<State>(['queued', 'running', 'publishing']);

/** Whether a job is queued, running or publishing. */
export const isLive = (job: Job): boolean => LIVE.has(job.state);

/** Whether a worker is at it. */
export const isRunning = (job: Job): boolean =>
  job.state === 'running' || job.state === 'publishing';

/** The last part of the output's path. */
export const nameOf = (job: Pick<Job, 'output'>): string =>
  job.output.slice(job.output.lastIndexOf('/') + 1);

/** The folder of a path, relative to the server's root; '' is the root itself. */
export const folderOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')));
