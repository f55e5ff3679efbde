/** A panel that finds its own way to the server, and keeps its widget's traits in step. */

import { pushJobs, save, type PanelModel } from './model';
import type { Mounted } from './panel';
import { reach } from './reach';
import type { Core } from './registry';
import type { Session } from './session';

export interface LiveOptions {
  /** Names the panel: its widget's model may come later, or never. */
  key: string;
  project: string;
}

/** Draw a panel into an element; the returned function takes it away. */
export function mountLive(core: Core, element: HTMLElement, options: LiveOptions): () => void {
  element.classList.add('jpx-Cell');
  let model: PanelModel | undefined;
  let session: Session | null = null;
  let panel: Mounted | undefined;
  let stopSync: (() => void) | undefined;

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
  const forget = reach(core, options.key, {
    by(found) {
      panel?.dispose();
      session = found;
      panel = core.mount(element, {
        session,
        ownKeys: true,
        project: options.project,
        onSelect: id => model && save(model, 'selected', id)
      });
      sync();
    },
    model(found) {
      model = found;
      sync();
    }
  });
  return () => {
    forget();
    stopSync?.();
    panel?.dispose();
  };
}
