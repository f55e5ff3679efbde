/** One core per page and version: sidebar, status and every cell share code and connection. */

import { Direct, type ServerAddress } from './direct';
import type { Host } from './host';
import type { PanelModel } from './model';
import { mountPanel, type Mounted, type PanelOptions } from './panel';
import { Relay } from './relay';
import { Session } from './session';

declare const __VERSION__: string;

/** The version is in the key: an open page goes on with the code that it was loaded with. */
const KEY = Symbol.for(`jupyter-export/${__VERSION__}`);

export class Core {
  /** What the application around the page can do; JupyterLab's extension sets it. */
  host: Host = {};
  private sessions = new Map<string, Session>();
  private kernels = new Map<string, { relay: Relay; session?: Session }>();
  private models = new Map<string, PanelModel>();
  private waits = new Map<string, Set<(model: PanelModel) => void>>();

  /** The one session with a server. */
  session(server: ServerAddress): Session {
    const { baseUrl } = server;
    let session = this.sessions.get(baseUrl);
    if (!session) {
      session = new Session(new Direct(server), () => this.sessions.delete(baseUrl));
      this.sessions.set(baseUrl, session);
    }
    return session;
  }

  /** The one session through the kernel of a widget, whichever of its widgets carries it. */
  through(model: PanelModel): Session {
    const line = this.line(model);
    line.session ??= new Session(line.relay, () => (line.session = undefined));
    return line.session;
  }

  /** Draw a panel. */
  mount(element: HTMLElement, options: Omit<PanelOptions, 'host'>): Mounted {
    return mountPanel(element, { ...options, host: this.host });
  }

  /** A widget's model says that it is there; the returned function says that it is gone. */
  register(key: string, model: PanelModel): () => void {
    this.models.set(key, model);
    const { relay } = this.line(model);
    relay.add(model);
    for (const wait of this.waits.get(key) ?? []) wait(model);
    return () => {
      if (this.models.get(key) === model) this.models.delete(key);
      relay.remove(model);
      if (relay.isEmpty) this.kernels.delete(String(model.get('kernel')));
    };
  }

  private line(model: PanelModel) {
    const kernel = String(model.get('kernel'));
    const line = this.kernels.get(kernel) ?? { relay: new Relay() };
    this.kernels.set(kernel, line);
    return line;
  }

  /** Hear of the widget's model behind a panel, now or when it is there. Returns the undo. */
  onModel(key: string, hear: (model: PanelModel) => void): () => void {
    const model = this.models.get(key);
    if (model) hear(model);
    const waits = this.waits.get(key) ?? new Set();
    this.waits.set(key, waits.add(hear));
    return () => {
      waits.delete(hear);
      if (waits.size === 0) this.waits.delete(key);
    };
  }
}

/**
 * The page's core. Whoever comes first brings the code for all: signals only work with the copy
 * of the library that made them.
 */
export function core(): Core {
  const page = globalThis as unknown as Record<symbol, Core | undefined>;
  return (page[KEY] ??= new Core());
}
