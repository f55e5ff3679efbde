/** The notebook panel: anywidget's entry. */

import { mountLive } from '../core/live';
import type { PanelModel } from '../core/model';
import { core } from '../core/registry';

interface Live {
  model: PanelModel;
}

export default {
  /** Also called for a panel that JupyterLab draws from its saved form, without a view of ours. */
  initialize({ model }: Live) {
    return core().register(String(model.get('key')), model);
  },
  render({ model, el }: Live & { el: HTMLElement }) {
    const [key, project] = [String(model.get('key')), String(model.get('project') ?? '')];
    return mountLive(core(), el, { key, project });
  }
};
