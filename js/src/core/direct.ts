/** Straight to the server: fetch and one WebSocket, with the page's own cookie. */

import {
  Unreachable,
  type Ask,
  type Channel,
  type ChannelEvents,
  type Reply,
  type Transport
} from './transport';

export interface ServerAddress {
  /** Absolute, with a slash at its end. */
  baseUrl: string;
  token?: string;
}

const PREFIX = 'jupyter-export/';
const SUBPROTOCOL = 'v1.feed.jupyter-export';

/** The Jupyter server that served this page, if one did. */
export function pageServer(): ServerAddress | null {
  const text = document.getElementById('jupyter-config-data')?.textContent;
  if (!text) return null;
  try {
    const config = JSON.parse(text) as { baseUrl?: string; token?: string };
    const baseUrl = new URL(config.baseUrl ?? '/', location.href);
    // Frames of other origins (VS Code, Colab) can carry a config that leads nowhere.
    if (baseUrl.origin !== location.origin) return null;
    return { baseUrl: baseUrl.href, token: config.token };
  } catch {
    return null;
  }
}

const xsrf = (): string => document.cookie.match(/(?:^|;\s*)_xsrf=([^;]*)/)?.[1] ?? '';

export class Direct implements Transport {
  readonly kind = 'direct';
  constructor(private server: ServerAddress) {}

  async ask({ method, path, body, key, signal }: Ask): Promise<Reply> {
    const headers: Record<string, string> = { Accept: 'application/json, */*' };
    const token = xsrf();
    // JupyterHub wants it on a GET, too.
    if (token) headers['X-XSRFToken'] = token;
    if (this.server.token) headers.Authorization = `token ${this.server.token}`;
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    if (key) headers['Idempotency-Key'] = key;
    let response: Response;
    try {
      response = await fetch(this.url(path), {
        method,
        headers,
        credentials: 'same-origin',
        cache: 'no-store',
        signal: signal ?? null,
        body: body === undefined ? null : JSON.stringify(body)
      });
    } catch (error) {
      throw new Unreachable(String(error));
    }
    const type = response.headers.get('Content-Type') ?? '';
    const reply: Reply = { status: response.status, type };
    if (/[/+]json/.test(type)) reply.json = await response.json();
    else reply.blob = await response.blob();
    reply.headers = {};
    response.headers.forEach((value, name) => {
      if (name.startsWith('x-')) reply.headers![name] = value;
    });
    return reply;
  }

  open(events: ChannelEvents): Channel {
    // No token in the address: it would end up in logs.
    const socket = new WebSocket(this.url('feed').replace(/^http/, 'ws'), SUBPROTOCOL);
    const life = new AbortController();
    const { signal } = life;
    const end = (code: number, reason: string) => {
      if (signal.aborted) return;
      life.abort();
      events.closed(code, reason);
    };
    socket.addEventListener('open', () => events.opened(), { signal });
    socket.addEventListener('message', e => events.heard(JSON.parse(String(e.data))), { signal });
    socket.addEventListener('close', e => end(e.code, e.reason), { signal });
    return {
      send: message => {
        if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
      },
      close: () => {
        // A dead network can hold the closing handshake for minutes; we are done now.
        socket.close();
        end(1000, '');
      }
    };
  }

  fileUrl(path: string): string {
    const parts = path.split('/').map(encodeURIComponent).join('/');
    return this.loadable(`${this.server.baseUrl}files/${parts}`);
  }

  filmUrl(id: string): string {
    return this.loadable(this.url(`jobs/${id}/file`));
  }

  /** An element of the page cannot send the header that JupyterHub wants. */
  private loadable(url: string): string {
    const token = xsrf();
    return token ? `${url}?_xsrf=${encodeURIComponent(token)}` : url;
  }

  private url(path: string): string {
    return this.server.baseUrl + PREFIX + path;
  }
}
