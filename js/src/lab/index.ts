/** JupyterLab's and Notebook's face: sidebar, indicator, notifications, commands, saved panels. */

import { ILabShell, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, Notification } from '@jupyterlab/apputils';
import { IFileBrowserFactory } from '@jupyterlab/filebrowser';
import { ILauncher } from '@jupyterlab/launcher';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { core } from '../core/registry';
import { nameOf, type Job } from '../core/types';
import { drawBoxes } from './box';
import { files } from './files';
import { openForm } from './form';
import { filmIcon } from './icon';
import { notifications } from './notifications';
import { liveSettings } from './settings';
import { SOURCE_SUFFIXES } from './spec';
import { StatusItem } from './status';
import {
  EDITOR_MIME,
  editorRenderer,
  JOB_MIME,
  JobRenderer,
  PANEL_MIME,
  panelRenderer,
  Sidebar
} from './widgets';

const ID = 'jupyter-export:plugin';
/** ipywidgets takes -10: the saved panel comes before a view whose model may be gone. */
const RENDERER_RANK = -20;

export const CommandIDs = {
  show: 'jupyter-export:show',
  new: 'jupyter-export:new',
  exportFile: 'jupyter-export:export-file',
  pauseQueue: 'jupyter-export:pause-queue',
  resumeQueue: 'jupyter-export:resume-queue'
};

const plugin: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: 'Video exports: panel, indicator, notifications and commands.',
  autoStart: true,
  requires: [IRenderMimeRegistry],
  optional: [
    ILabShell,
    IStatusBar,
    ICommandPalette,
    IFileBrowserFactory,
    ILauncher,
    ISettingRegistry,
    ITranslator
  ],
  activate(
    app: JupyterFrontEnd,
    rendermime: IRenderMimeRegistry,
    labShell: ILabShell | null,
    statusBar: IStatusBar | null,
    palette: ICommandPalette | null,
    browsers: IFileBrowserFactory | null,
    launcher: ILauncher | null,
    registry: ISettingRegistry | null,
    translator: ITranslator | null
  ): void {
    const trans = (translator ?? nullTranslator).load('jupyter_export');
    const { serverSettings, contents } = app.serviceManager;
    const baseUrl = new URL(serverSettings.baseUrl, location.href).href;
    const page = core();
    const session = page.session({ baseUrl, token: serverSettings.token });
    // For as long as the page lives: what ends is announced whether or not a panel is open.
    session.use();

    const report = (what: string) => (error: unknown) => {
      console.error(`jupyter_export: ${what} failed`, error);
      const text = error instanceof Error ? error.message : String(error);
      Notification.error(`${what}: ${text}`, { autoClose: 10_000 });
    };
    const sidebar = new Sidebar(page, session);
    sidebar.id = 'jupyter-export-panel';
    sidebar.title.icon = filmIcon;
    sidebar.title.caption = trans.__('Video exports');
    const show = (id = '') => {
      app.shell.activateById(sidebar.id);
      if (id) sidebar.select(id);
    };
    app.shell.add(sidebar, 'left', { rank: 850, type: 'Video exports' });

    const handling = files(app, session, browsers);
    const status = new StatusItem({ session, trans, show });
    status.id = 'jupyter-export-status';
    const settings = liveSettings(registry, ID, () => {
      status.enabled = settings.indicator;
      status.refresh();
    });
    if (statusBar) {
      statusBar.registerStatusItem('jupyter-export:status', {
        item: status,
        align: 'left',
        rank: 90,
        isActive: () => !status.isHidden
      });
    } else {
      // Notebook has no status bar, but room beside its menus.
      app.shell.add(status, 'menu', { rank: 900 });
    }
    notifications({ session, baseUrl, settings, files: handling, trans, show });

    const selectedVideos = (): string[] => {
      const items = [...(browsers?.tracker.currentWidget?.selectedItems() ?? [])];
      return items
        .filter(it => it.type !== 'directory' && SOURCE_SUFFIXES.test(it.name))
        .map(it => contents.localPath(it.path));
    };
    const newExport = (sources: string[]) => {
      const current = labShell?.currentWidget ?? app.shell.currentWidget;
      const path = (current as { context?: { path?: string } } | null)?.context?.path ?? '';
      openForm({
        session,
        trans,
        sources,
        notebook: path.endsWith('.ipynb') ? path : '',
        quality: settings.quality,
        list: async folder => {
          const { content } = (await contents.get(folder)) as { content: { path: string }[] };
          return content.map(it => contents.localPath(it.path));
        },
        show,
        submitted: job => tellQueued(job)
      });
    };
    const tellQueued = (job: Job) => {
      Notification.info(trans.__('%1 is in the queue.', nameOf(job)), {
        autoClose: 4000,
        actions: [{ label: trans.__('Show'), callback: () => show(job.id) }]
      });
    };
    page.host = {
      trans,
      open: handling.open,
      reveal: handling.reveal,
      newExport: () => newExport(selectedVideos())
    };

    const { commands } = app;
    const category = trans.__('Video exports');
    commands.addCommand(CommandIDs.show, {
      label: trans.__('Show Video Exports'),
      icon: filmIcon,
      execute: args => show(typeof args.job === 'string' ? args.job : '')
    });
    commands.addCommand(CommandIDs.new, {
      label: trans.__('Export Video…'),
      icon: filmIcon,
      execute: args => newExport(typeof args.path === 'string' ? [args.path] : selectedVideos())
    });
    commands.addCommand(CommandIDs.exportFile, {
      label: () =>
        selectedVideos().length > 1 ? trans.__('Join Videos…') : trans.__('Export Video…'),
      icon: filmIcon,
      // In the context menu of a file that is no video there is nothing to export.
      isVisible: () => selectedVideos().length > 0,
      execute: () => newExport(selectedVideos())
    });
    commands.addCommand(CommandIDs.pauseQueue, {
      label: trans.__('Pause the Queue of Video Exports'),
      isEnabled: () => session.store.queue.peek() === 'running',
      execute: () => session.rest.setQueue('pause').catch(report(trans.__('Pause the queue')))
    });
    commands.addCommand(CommandIDs.resumeQueue, {
      label: trans.__('Let the Queue of Video Exports Go On'),
      isEnabled: () => session.store.queue.peek() !== 'running',
      execute: () => session.rest.setQueue('resume').catch(report(trans.__('Resume the queue')))
    });
    session.store.queue.subscribe(() => commands.notifyCommandChanged());
    for (const command of [
      CommandIDs.show,
      CommandIDs.new,
      CommandIDs.pauseQueue,
      CommandIDs.resumeQueue
    ]) {
      palette?.addItem({ command, category });
    }
    launcher?.add({ command: CommandIDs.new, category: trans.__('Other'), rank: 20 });

    for (const [mime, renderer] of [
      [PANEL_MIME, panelRenderer],
      [EDITOR_MIME, editorRenderer]
    ] as const) {
      const createRenderer = () => renderer(page);
      rendermime.addFactory({ safe: true, mimeTypes: [mime], createRenderer }, RENDERER_RANK);
    }
    rendermime.addFactory(
      { safe: true, mimeTypes: [JOB_MIME], createRenderer: () => new JobRenderer(page, session) },
      RENDERER_RANK
    );
    drawBoxes(page, app.docRegistry, trans);
  }
};

export default plugin;
