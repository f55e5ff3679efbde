/** Finished files in JupyterLab: open them, show them in their folder, refresh what shows it. */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { IFileBrowserFactory } from '@jupyterlab/filebrowser';

import { folderOf } from '../core/types';
import type { Session } from '../core/session';

export interface Files {
  open(path: string): void;
  reveal(path: string): void;
}

export function files(
  app: JupyterFrontEnd,
  session: Session,
  browsers: IFileBrowserFactory | null
): Files {
  const report = (what: string) => (error: unknown) =>
    console.error(`jupyter_export: ${what} failed`, error);

  session.store.onChange(changes => {
    const folders = new Set(
      changes
        .filter(c => c.job.state === 'completed' && c.before?.state !== 'completed')
        .map(c => folderOf(c.job.output))
    );
    if (folders.size === 0) return;
    browsers?.tracker.forEach(({ model }) => {
      // A drive prefix, as in "drive:folder", is not below the server's root.
      if (folders.has(model.path)) model.refresh().catch(report('refreshing the file browser'));
    });
  });

  return {
    open(path) {
      // The text editor is what JupyterLab offers for a type that it has no viewer for.
      const viewer = app.docRegistry.defaultWidgetFactory(path);
      if (viewer && viewer.modelName !== 'text' && app.commands.hasCommand('docmanager:open')) {
        app.commands.execute('docmanager:open', { path }).catch(report(`opening ${path}`));
      } else {
        const url = session.transport.fileUrl(path);
        if (url) window.open(url, '_blank', 'noopener');
      }
    },
    reveal(path) {
      if (app.commands.hasCommand('filebrowser:go-to-path')) {
        app.commands
          .execute('filebrowser:go-to-path', { path })
          .catch(report(`showing ${path} in the file browser`));
      } else {
        const { baseUrl } = app.serviceManager.serverSettings;
        const folder = folderOf(path).split('/').map(encodeURIComponent).join('/');
        window.open(`${baseUrl}tree/${folder}`, '_blank', 'noopener');
      }
    }
  };
}
