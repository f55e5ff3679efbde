/** Through the kernel, for pages that cannot reach the server: requests and feed over a comm. */

import {
  Unreachable,
  type Ask,
  type Channel,
  type ChannelEvents,
  type Reply,
  type Transport
} from './transport';

/** The part of a widget's model that carries messages. */
export interface Comm {
  send(content: unknown): void;
  on(event: 'msg:custom', callback: (content: unknown, buffers?: DataView[]) => void): void;
  off(event: 'msg:custom', callback: (content: unknown, buffers?: DataView[]) => void): void;
}

interface FromKernel {
  type: 'reply' | 'feed';
  /** Not `id`: ipykernel takes that for a request of its own. */
  tag: string;
  status?: number;
  content_type?: string;
  body?: unknown;
  total?: number;
  etag?: string;
  headers?: Record<string, string>;
  error?: string;
  event?: 'opened' | 'heard' | 'closed';
  message?: unknown;
  code?: number;
  reason?: string;
}

/** A submit looks into its source first, so an answer may take a while. */
const PATIENCE_MS = 60_000;

export class Relay implements Transport {
  readonly kind = 'relay';
  private waiting = new Map<string, (reply: FromKernel, buffers: DataView[]) => void>();
  private channels = new Map<string, (message: FromKernel) => void>();
  /** The first one carries everything. */
  private comms = new Set<Comm>();
  private prefix = crypto.getRandomValues(new Uint32Array(1))[0]!.toString(36);
  private count = 0;

  /** Let messages go over this comm, until `remove`. */
  add(comm: Comm): void {
    this.comms.add(comm);
    comm.on('msg:custom', this.heard);
  }

  remove(comm: Comm): void {
    const carried = this.comm === comm;
    if (!this.comms.delete(comm)) return;
    comm.off('msg:custom', this.heard);
    if (!carried) return;
    // What was on its way is lost; the feed opens anew over the next comm.
    const error = 'the panel that carried this was closed';
    for (const [tag, hear] of [...this.waiting]) hear({ type: 'reply', tag, error }, []);
    for (const [tag, hear] of [...this.channels]) hear({ type: 'feed', tag, event: 'closed' });
  }

  /** Whether there is no comm at all. */
  get isEmpty(): boolean {
    return this.comms.size === 0;
  }

  ask({ method, path, body, key, from }: Ask): Promise<Reply> {
    const tag = this.newTag();
    return new Promise((resolve, reject) => {
      const fail = (why: string) => {
        clearTimeout(timer);
        this.waiting.delete(tag);
        reject(new Unreachable(why));
      };
      const timer = setTimeout(() => fail('the kernel does not answer'), PATIENCE_MS);
      this.waiting.set(tag, (reply, buffers) => {
        if (reply.status === undefined) return fail(reply.error ?? 'no answer');
        clearTimeout(timer);
        this.waiting.delete(tag);
        const { status, total, etag, headers, content_type: type = '' } = reply;
        const blob = buffers[0] && new Blob([buffers[0] as BlobPart], { type });
        resolve({ status, type, json: reply.body, total, etag, headers, ...(blob && { blob }) });
      });
      const sent = this.send({ type: 'request', tag, method, path, body, key, from });
      if (!sent) fail('the kernel is gone');
    });
  }

  open(events: ChannelEvents): Channel {
    const tag = this.newTag();
    const end = (code: number, reason: string) => {
      if (this.channels.delete(tag)) events.closed(code, reason);
    };
    this.channels.set(tag, message => {
      if (message.event === 'opened') events.opened();
      else if (message.event === 'heard') events.heard(message.message);
      else end(message.code ?? 1006, message.reason ?? '');
    });
    // The caller gets its channel before it is told that it is closed.
    queueMicrotask(() => this.send({ type: 'feed', tag, action: 'open' }) || end(1006, ''));
    return {
      send: message => void this.send({ type: 'feed', tag, action: 'send', message }),
      close: () => {
        this.send({ type: 'feed', tag, action: 'close' });
        end(1000, '');
      }
    };
  }

  fileUrl(): null {
    return null;
  }

  filmUrl(): null {
    return null;
  }

  private get comm(): Comm | undefined {
    return this.comms.values().next().value;
  }

  private heard = (content: unknown, buffers: DataView[] = []): void => {
    const message = content as FromKernel;
    if (message?.type === 'reply') this.waiting.get(message.tag)?.(message, buffers);
    else if (message?.type === 'feed') this.channels.get(message.tag)?.(message);
  };

  /** False when the comm is closed, as after the end of its kernel. */
  private send(content: unknown): boolean {
    try {
      this.comm?.send(content);
      return this.comm !== undefined;
    } catch {
      return false;
    }
  }

  private newTag(): string {
    return `${this.prefix}.${++this.count}`;
  }
}
