/** What the user set in JupyterLab, with the schema's defaults where nothing can be read. */

import type { ISettingRegistry } from '@jupyterlab/settingregistry';

export interface Settings {
  announceCompleted: boolean;
  announceFailed: boolean;
  /** 0: until it is dismissed. */
  seconds: number;
  indicator: boolean;
  quality: string;
}

const DEFAULTS: Settings = {
  announceCompleted: true,
  announceFailed: true,
  seconds: 15,
  indicator: true,
  quality: 'balanced'
};

/** The settings, kept up to date in the returned object; `changed` is called after each change. */
export function liveSettings(
  registry: ISettingRegistry | null,
  plugin: string,
  changed: () => void
): Settings {
  const settings = { ...DEFAULTS };
  registry?.load(plugin).then(
    loaded => {
      const read = () => {
        Object.assign(settings, loaded.composite);
        changed();
      };
      loaded.changed.connect(read);
      read();
    },
    error => console.warn('jupyter_export: its settings cannot be read; the defaults apply', error)
  );
  return settings;
}
