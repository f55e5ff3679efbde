/** The panel as JupyterLab's widgets: in the sidebar, and as renderer of what notebooks save. */

import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { Widget } from '@lumino/widgets';

import { mountEditor } from '../core/editor/mount';
import { mountLive } from '../core/live';
import type { Mounted } from '../core/panel';
import type { Core } from '../core/registry';
import type { Session } from '../core/session';
import type { Spec } from '../core/types';

export const EDITOR_MIME = 'application/vnd.jupyter-export.editor+json';
export const PANEL_MIME = 'application/vnd.jupyter-export.panel+json';
export const JOB_MIME = 'application/vnd.jupyter-export.job+json';

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

/** Draws live again what was saved; nothing of it says where the server is. */
class SavedRenderer extends Widget implements IRenderMime.IRenderer {
  private undo: (() => void) | null = null;
  private saved: Record<string, unknown> | null = null;

  constructor(
    private mime: string,
    private mount: (element: HTMLElement, saved: Record<string, unknown>) => () => void
  ) {
    super();
    this.addClass('jpx-Output');
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    this.saved = (model.data[this.mime] ?? {}) as Record<string, unknown>;
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
    if (!this.saved || !this.isAttached) return;
    this.undo?.();
    this.undo = this.mount(this.node, this.saved);
  }
}

/** Of a saved panel. */
export const panelRenderer = (core: Core): IRenderMime.IRenderer =>
  new SavedRenderer(PANEL_MIME, (element, { key, project }) =>
    mountLive(core, element, { key: String(key ?? ''), project: String(project ?? '') })
  );

/** Of a saved editor. */
export const editorRenderer = (core: Core): IRenderMime.IRenderer =>
  new SavedRenderer(EDITOR_MIME, (element, { key, spec, time, allow_duplicate }) =>
    mountEditor(core, element, {
      key: String(key ?? ''),
      spec: spec as Spec,
      time: Number(time ?? 0),
      allow_duplicate: allow_duplicate === true
    })
  );

/** Draws the row of one job, live as long as the server knows it. */
export class JobRenderer extends Widget implements IRenderMime.IRenderer {
  private row: Mounted | null = null;
  private only: { id: string; saved: string } | null = null;

  constructor(
    private core: Core,
    private session: Session
  ) {
    super();
    this.addClass('jpx-Output');
    this.addClass('jpx-Cell');
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const data = model.data[JOB_MIME] as { job?: unknown } | undefined;
    const saved = model.data['text/plain'];
    this.only = { id: String(data?.job ?? ''), saved: String(saved ?? '') };
    this.draw();
  }

  protected override onAfterAttach(): void {
    this.draw();
  }

  protected override onBeforeDetach(): void {
    this.row?.dispose();
    this.row = null;
  }

  private draw(): void {
    if (!this.only || !this.isAttached) return;
    this.row?.dispose();
    const { session, only } = this;
    this.row = this.core.mount(this.node, { session, only, ownKeys: true });
  }
}
