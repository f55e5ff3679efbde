/** The notebook editor: anywidget's entry. */

import { mountEditor, type EditorModel, type SavedEditor } from '../core/editor/mount';
import type { PanelModel } from '../core/model';
import { core } from '../core/registry';

interface Live {
  model: EditorModel;
}

export default {
  /** Also called for an editor that JupyterLab draws from its saved form, without a view of ours. */
  initialize({ model }: Live) {
    return core().register(String(model.get('key')), model as unknown as PanelModel);
  },
  render({ model, el }: Live & { el: HTMLElement }) {
    return mountEditor(core(), el, {
      key: String(model.get('key')),
      spec: model.get('spec') as SavedEditor['spec'],
      time: Number(model.get('time')),
      allow_duplicate: model.get('allow_duplicate') === true
    });
  }
};
