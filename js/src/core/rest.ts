/** The routes as functions; what the server refuses becomes a typed error with its own words. */

import type { HardwareReport } from './hardware';
import type { Estimate, Facts, Job, QueueState, Spec } from './types';
import { Refusal, type Ask, type Reply, type Transport } from './transport';

/** Which frame, as `POST preview` has it. */
export interface Wanted {
  spec: Spec;
  time: number;
  /** `result`, `before`, or the field of an effect: the picture that it is given. */
  show: string;
  /** Pixels, at most. */
  width: number;
}

export interface Pictured {
  blob: Blob;
  /** When it begins to be shown, and the next one does, in seconds of the clock that was asked. */
  time: number;
  next: number;
  /** Of the whole output. */
  duration: number;
  /** Of the whole picture, in pixels. */
  width: number;
  height: number;
}

export type Action = 'cancel' | 'retry' | 'pause' | 'resume';

/** JupyterHub makes new logins when it starts a server again. */
const LOGIN = 'This page is not logged in any more. Reload it.';
/** What JupyterHub says for a server that does not run. */
const STOPPED = 'Your server does not run. Start it again, then reload this page.';

export class Rest {
  private noPictures = false;
  private firstPicture: Promise<Blob | null> | null = null;

  constructor(private transport: Transport) {}

  health(): Promise<unknown> {
    return this.json({ method: 'GET', path: 'health' });
  }

  /** Why the server answers no request of this page, and what to do; empty if it is not known. */
  async refusal(): Promise<string> {
    try {
      // Whoever is not logged in can be sent to a page that says so, with a status of success.
      return (await this.health()) ? '' : LOGIN;
    } catch (error) {
      if (!(error instanceof Refusal)) return '';
      if (error.status === 401 || error.status === 403) return LOGIN;
      return error.status === 424 ? STOPPED : '';
    }
  }

  /** Jobs older than `before`, newest first. */
  older(before: string, limit = 100): Promise<Job[]> {
    return this.jobs(`jobs?before=${encodeURIComponent(before)}&limit=${limit}`);
  }

  job(id: string): Promise<Job> {
    return this.json({ method: 'GET', path: `jobs/${id}` });
  }

  /** Queue an export; `key` makes a repeated request the same request. */
  submit(spec: Spec, key: string, allowDuplicate = false): Promise<Job> {
    const body = { spec, ...(allowDuplicate && { allow_duplicate: true }) };
    return this.json({ method: 'POST', path: 'jobs', body, key });
  }

  act(id: string, action: Action): Promise<Job> {
    return this.json({ method: 'POST', path: `jobs/${id}/${action}` });
  }

  setPriority(id: string, priority: number): Promise<Job> {
    return this.json({ method: 'PATCH', path: `jobs/${id}`, body: { priority } });
  }

  /** Forget a finished job; its output stays. */
  async remove(id: string): Promise<void> {
    await this.ask({ method: 'DELETE', path: `jobs/${id}` });
  }

  /** A piece of what a job has made, from its byte `from` on. */
  piece(id: string, from: number): Promise<Reply> {
    return this.ask({ method: 'GET', path: `jobs/${id}/file`, from });
  }

  /** The size and the length of a video. */
  probe(path: string): Promise<Facts> {
    return this.json({ method: 'GET', path: `probe?path=${encodeURIComponent(path)}` });
  }

  /** A frame of an export, or of what it is made from, and what is known about it. */
  async preview(wanted: Wanted, signal?: AbortSignal): Promise<Pictured> {
    const reply = await this.ask({ method: 'POST', path: 'preview', body: wanted, signal });
    const told = (name: string) => reply.headers?.[name] ?? '';
    const [width = 0, height = 0] = told('x-size').split('x').map(Number);
    return {
      blob: reply.blob ?? new Blob(),
      time: Number(told('x-time')),
      next: Number(told('x-next')),
      duration: Number(told('x-duration')),
      width,
      height
    };
  }

  /** What an export would take and be; nothing is queued. */
  estimate(spec: Spec): Promise<Estimate> {
    return this.json({ method: 'POST', path: 'estimate', body: { spec } });
  }

  /** The JSON Schema of what can be exported. */
  specSchema<T>(): Promise<T> {
    return this.json({ method: 'GET', path: 'schema/spec.json' });
  }

  async log(id: string): Promise<string> {
    const reply = await this.ask({ method: 'GET', path: `jobs/${id}/log` });
    return reply.blob ? reply.blob.text() : '';
  }

  /** A picture of the source or of the finished file; null where there is none. */
  async picture(id: string, which: 'thumbnail' | 'poster'): Promise<Blob | null> {
    // The first one tells whether this server has pictures at all.
    await this.firstPicture?.catch(() => null);
    if (this.noPictures) return null;
    const picture = this.fetchPicture(id, which);
    this.firstPicture ??= picture;
    return picture;
  }

  private async fetchPicture(id: string, which: string): Promise<Blob | null> {
    try {
      const { blob, type } = await this.ask({ method: 'GET', path: `jobs/${id}/${which}` });
      return blob && type.startsWith('image/') ? blob : null;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      // An address that no route answers will not answer for the next job either.
      this.noPictures = error.status === 404 && error.problem.type === 'about:blank';
      return null;
    }
  }

  /** What the server's machine can encode with; `refresh` tries everything again. */
  hardware(refresh = false): Promise<HardwareReport> {
    return this.json({ method: 'GET', path: `hardware${refresh ? '?refresh=true' : ''}` });
  }

  setQueue(action: 'pause' | 'resume' | 'drain'): Promise<{ state: QueueState }> {
    return this.json({ method: 'POST', path: `queue/${action}` });
  }

  private async jobs(path: string): Promise<Job[]> {
    return (await this.json<{ jobs: Job[] }>({ method: 'GET', path })).jobs;
  }

  private async json<T>(ask: Ask): Promise<T> {
    return (await this.ask(ask)).json as T;
  }

  private async ask(ask: Ask): Promise<Reply> {
    const reply = await this.transport.ask(ask);
    if (reply.status >= 200 && reply.status < 300) return reply;
    const problem = (reply.json ?? {}) as Partial<Refusal['problem']>;
    throw new Refusal(reply.status, {
      type: 'about:blank',
      title: `HTTP ${reply.status}`,
      detail:
        reply.status === 404 && !problem.detail
          ? 'The extension jupyter_export does not run on this server.'
          : `The server answered HTTP ${reply.status}.`,
      advice: '',
      ...problem
    });
  }
}
