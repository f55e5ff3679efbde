/** JupyterLab's notifications of what ended, wherever it was started. */

import { Notification } from '@jupyterlab/apputils';

import { Acks } from '../core/acks';
import { announce } from '../core/announce';
import type { Translator } from '../core/host';
import type { Session } from '../core/session';
import { Refusal } from '../core/transport';
import { nameOf, type Job } from '../core/types';
import type { Files } from './files';
import type { Settings } from './settings';

/** More than these at once become one notification. */
const SINGLY = 3;
const LEAST_FAILED_MS = 10_000;

export interface NotificationOptions {
  session: Session;
  baseUrl: string;
  settings: Settings;
  files: Files;
  trans: Translator;
  /** Bring a job into view in the panel. */
  show(id: string): void;
}

export function notifications(options: NotificationOptions): void {
  const { session, baseUrl, settings, trans, show } = options;
  announce(session, new Acks(baseUrl), ({ jobs, late }) => {
    const wanted = jobs.filter(job =>
      job.state === 'completed' ? settings.announceCompleted : settings.announceFailed
    );
    if (wanted.length <= SINGLY) {
      for (const job of wanted) (job.state === 'completed' ? completed : failed)(job, options);
      return;
    }
    const failures = wanted.filter(job => job.state === 'failed').length;
    const text = late
      ? trans.__('%1 exports ended while you were away.', wanted.length)
      : trans.__('%1 exports ended.', wanted.length);
    const more = failures ? ` ${trans._n('%1 failed.', '%1 failed.', failures)}` : '';
    Notification.emit(text + more, failures ? 'warning' : 'success', {
      autoClose: time(settings),
      actions: [{ label: trans.__('Show'), callback: () => show(wanted[0]!.id) }]
    });
  });
}

const time = ({ seconds }: Settings): number | false => (seconds > 0 ? seconds * 1000 : false);

function completed(job: Job, { settings, files, trans }: NotificationOptions): void {
  Notification.success(trans.__('%1 is ready.', nameOf(job)), {
    autoClose: time(settings),
    actions: [
      {
        label: trans.__('Open'),
        displayType: 'accent',
        callback: () => files.open(job.output)
      },
      {
        label: trans.__('Reveal'),
        caption: trans.__('Reveal in file browser'),
        callback: () => files.reveal(job.output)
      }
    ]
  });
}

function failed(job: Job, { session, settings, trans, show }: NotificationOptions): void {
  const reason = [job.error?.detail, job.error?.advice].filter(Boolean).join(' ');
  const seconds = time(settings);
  Notification.error(trans.__('%1 failed: %2', nameOf(job), reason), {
    autoClose: seconds && Math.max(LEAST_FAILED_MS, seconds),
    actions: [
      {
        label: trans.__('Retry'),
        displayType: 'accent',
        callback: () => void retry(session, job, trans)
      },
      { label: trans.__('Show'), callback: () => show(job.id) }
    ]
  });
}

async function retry(session: Session, job: Job, trans: Translator): Promise<void> {
  try {
    await session.rest.act(job.id, 'retry');
  } catch (error) {
    console.error(`jupyter_export: retrying job ${job.id} failed`, error);
    const why =
      error instanceof Error && 'problem' in error
        ? `${error.message} ${(error as Refusal).advice}`
        : trans.__('The server does not answer.');
    Notification.error(trans.__('%1 was not retried: %2', nameOf(job), why), {
      autoClose: LEAST_FAILED_MS
    });
  }
}
