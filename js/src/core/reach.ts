/** The way of something drawn in a cell to the server: straight, else through its widget's kernel. */

import { pageServer } from './direct';
import type { PanelModel } from './model';
import type { Core } from './registry';
import type { Session } from './session';

/** The page's own server has this long to answer. */
const PROBE_MS = 4000;

export interface Reached {
  /** The session to draw with, each time that it is another one. */
  by(session: Session): void;
  /** The widget's model, which may come later, or never. */
  model(model: PanelModel): void;
}

/** Look for the way of the widget that `key` names; the returned function ends it. */
export function reach(core: Core, key: string, reached: Reached): () => void {
  const server = pageServer();
  const direct = server && core.session(server);
  let model: PanelModel | undefined;
  let session: Session | null = null;
  let unreachable = direct === null;
  let gone = false;

  const draw = (by: Session) => {
    session = by;
    reached.by(by);
  };
  const relay = () => {
    if (gone || !model || !unreachable) return;
    const through = core.through(model);
    if (session !== through) draw(through);
  };
  if (direct) {
    draw(direct);
    void answers(direct).then(reachable => {
      unreachable = !reachable;
      relay();
    });
  }
  const forget = core.onModel(key, found => {
    model = found;
    reached.model(found);
    relay();
  });
  return () => {
    gone = true;
    forget();
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
