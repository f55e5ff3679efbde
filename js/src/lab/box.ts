/** A box of widgets with a panel in it: the box while its kernel lives, else the panel alone. */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { Panel, Widget } from '@lumino/widgets';

import type { Translator } from '../core/host';
import { mountLive } from '../core/live';
import type { Core } from '../core/registry';

const BOX_MIME = 'application/vnd.jupyter-export.box+json';
const VIEW_MIME = 'application/vnd.jupyter.widget-view+json';
/** Before ipywidgets' own, which has -10 and shows an error when the kernel is gone. */
const RANK = -20;
/** A kernel that lives has shown its widgets by then. */
const PATIENCE_MS = 1500;

interface Saved {
  panels?: { key?: unknown; project?: unknown }[];
}

/** The part of a notebook used here. */
type Notebook = Widget & { content: { rendermime: IRenderMimeRegistry } };

/** ipywidgets draws with a renderer of each notebook's own, so each gets one of ours. */
export function drawBoxes(
  core: Core,
  documents: JupyterFrontEnd['docRegistry'],
  trans: Translator
): void {
  documents.addWidgetExtension('Notebook', {
    createNew(notebook) {
      const { rendermime } = (notebook as unknown as Notebook).content;
      const createRenderer = () => new BoxRenderer(core, rendermime, trans);
      rendermime.addFactory({ safe: true, mimeTypes: [BOX_MIME], createRenderer }, RANK);
    }
  });
}

class BoxRenderer extends Panel implements IRenderMime.IRenderer {
  private model: IRenderMime.IMimeModel | null = null;
  /** Stays once it is drawn: ipywidgets takes a view that is disposed of for closed by its user. */
  private view: Widget | null = null;
  private alone: Widget | null = null;
  private undo: (() => void)[] = [];

  constructor(
    private core: Core,
    private rendermime: IRenderMimeRegistry,
    private trans: Translator
  ) {
    super();
    this.addClass('jpx-Output');
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    this.model = model;
    this.view?.dispose();
    this.view = null;
    this.draw();
  }

  protected override onAfterAttach(): void {
    this.draw();
  }

  protected override onBeforeDetach(): void {
    this.clear();
  }

  /** The panels alone, unless or until one of them turns out to be alive: then the box is, too. */
  private draw(): void {
    if (!this.model || this.view || !this.isAttached) return;
    this.clear();
    const model = this.model;
    const { panels = [] } = (model.data[BOX_MIME] ?? {}) as Saved;
    const timer = setTimeout(() => this.drawAlone(panels), PATIENCE_MS);
    this.undo.push(() => clearTimeout(timer));
    // Of a notebook that nobody vouches for, only our own part is drawn.
    if (!model.trusted || !this.rendermime.mimeTypes.includes(VIEW_MIME)) return;
    for (const { key } of panels) {
      // Later: it may be told at once.
      const revive = () => queueMicrotask(() => this.drawBox(model));
      this.undo.push(this.core.onModel(String(key), revive));
    }
  }

  private drawBox(model: IRenderMime.IMimeModel): void {
    if (this.isDisposed || this.view) return;
    this.clear();
    // Only now: a renderer of ipywidgets that was made before its manager would wait forever.
    const view = this.rendermime.createRenderer(VIEW_MIME);
    this.view = view;
    this.addWidget(view);
    view
      .renderModel(model)
      .catch(error => console.error('jupyter_export: a box of widgets was not drawn', error));
  }

  private drawAlone(panels: NonNullable<Saved['panels']>): void {
    const alone = (this.alone = new Widget());
    this.addWidget(alone);
    for (const saved of panels) {
      const place = alone.node.appendChild(document.createElement('div'));
      const [key, project] = [String(saved.key ?? ''), String(saved.project ?? '')];
      this.undo.push(mountLive(this.core, place, { key, project }));
    }
    const note = alone.node.appendChild(document.createElement('p'));
    note.className = 'jpx-BoxNote';
    note.textContent = this.trans.__('Run the cell again to have the other widgets of this box back.');
  }

  private clear(): void {
    for (const undo of this.undo) undo();
    this.undo = [];
    this.alone?.dispose();
    this.alone = null;
  }
}
