/** The panel as JupyterLab's widgets: in the sidebar, and as renderer of a saved panel. */

import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { Widget } from '@lumino/widgets';

import { mountLive } from '../core/live';
import type { Mounted } from '../core/panel';
import type { Core } from '../core/registry';
import type { Session } from '../core/session';

export const PANEL_MIME = 'application/vnd.jupyter-export.panel+json';

/** The panel in a sidebar. */
export class Sidebar extends Widget {
  private panel: Mounted | null = null;
  private wanted = '';

  constructor(
    private core: Core,
    private session: Session
  ) {
    super();
    this.addClass('jpx-Sidebar');
  }

  /** Bring a job into view. */
  select(id: string): void {
    this.wanted = id;
    this.panel?.select(id);
  }

  protected override onAfterAttach(): void {
    this.panel = this.core.mount(this.node, { session: this.session, selected: this.wanted });
  }

  protected override onBeforeDetach(): void {
    this.panel?.dispose();
    this.panel = null;
  }
}

/** Draws a saved panel live again; nothing in what was saved says where the server is. */
export class PanelRenderer extends Widget implements IRenderMime.IRenderer {
  private undo: (() => void) | null = null;
  private saved = { key: '', project: '' };
  private ready = false;

  constructor(private core: Core) {
    super();
    this.addClass('jpx-Output');
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const data = model.data[PANEL_MIME] as { key?: unknown; project?: unknown } | undefined;
    this.saved = { key: String(data?.key ?? ''), project: String(data?.project ?? '') };
    this.ready = true;
    this.draw();
  }

  protected override onAfterAttach(): void {
    this.draw();
  }

  protected override onBeforeDetach(): void {
    this.undo?.();
    this.undo = null;
  }

  private draw(): void {
    if (!this.ready || !this.isAttached) return;
    this.undo?.();
    this.undo = mountLive(this.core, this.node, this.saved);
  }
}
