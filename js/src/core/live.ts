/** A panel that finds its own way to the server: straight, else through its widget's kernel. */

import { pageServer } from './direct';
import { pushJobs, save, type PanelModel } from './model';
import type { Mounted } from './panel';
import type { Core } from './registry';
import type { Session } from './session';

/** The page's own server has this long to answer. */
const PROBE_MS = 4000;

export interface LiveOptions {
  /** Names the panel: its widget's model may come later, or never. */
  key: string;
  project: string;
}

/** Draw a panel into an element; the returned function takes it away. */
export function mountLive(core: Core, element: HTMLElement, options: LiveOptions): () => void {
  element.classList.add('jpx-Cell');
  const server = pageServer();
  const direct = server && core.session(server);
  let model: PanelModel | undefined;
  let session: Session | null = null;
  let panel: Mounted | undefined;
  let stopSync: (() => void) | undefined;
  let unreachable = direct === null;
  let gone = false;

  const sync = () => {
    stopSync?.();
    if (!model || !session || !panel) return;
    const [it, shown] = [model, panel];
    const select = () => shown.select(String(it.get('selected') ?? ''));
    const stopPush = pushJobs(it, session);
    select();
    it.on('change:selected', select);
    stopSync = () => {
      stopPush();
      it.off('change:selected', select);
    };
  };
  const draw = (by: Session) => {
    panel?.dispose();
    session = by;
    panel = core.mount(element, {
      session,
      ownKeys: true,
      project: options.project,
      onSelect: id => model && save(model, 'selected', id)
    });
    sync();
  };
  const relay = () => {
    if (gone || !model || !unreachable) return;
    const through = core.through(model);
    if (session !== through) draw(through);
  };

  if (direct) {
    draw(direct);
    void answers(direct).then(reached => {
      unreachable = !reached;
      relay();
    });
  }
  const forget = core.onModel(options.key, found => {
    model = found;
    sync();
    relay();
  });
  return () => {
    gone = true;
    forget();
    stopSync?.();
    panel?.dispose();
  };
}

/** Whether the page itself can reach the extension. */
async function answers(session: Session): Promise<boolean> {
  if (session.store.link.peek() === 'live') return true;
  const late = new Promise<boolean>(resolve => setTimeout(() => resolve(false), PROBE_MS));
  const probe = session.rest.health().then(
    () => true,
    () => false
  );
  return Promise.race([probe, late]);
}
