/** The widget's model in the page, and keeping its traits in step with a panel. */

import type { Comm } from './relay';
import type { Session } from './session';
import type { Job } from './types';

/** The part of an anywidget model used here. */
export interface PanelModel extends Comm {
  get(name: 'key' | 'kernel' | 'project' | 'selected'): unknown;
  set(name: 'jobs' | 'selected', value: unknown): void;
  save_changes(): void;
  on(event: string, callback: (...values: never[]) => void): void;
  off(event: string, callback: (...values: never[]) => void): void;
}

/** The kernel hears at most this often. */
const PUSH_MS = 500;
/** Finished jobs that the trait holds beside all live ones. */
const FINISHED = 50;

/** Tell the kernel of the jobs; returns the undo. */
export function pushJobs(model: PanelModel, session: Session): () => void {
  const { store } = session;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let last = '';
  const push = () => {
    timer = undefined;
    const jobs: Partial<Job>[] = [
      ...store.active.peek(),
      ...store.finished.peek().slice(0, FINISHED)
    ].map(entry => {
      const { spec: _, ...job } = entry.job.peek();
      return { ...job, progress: entry.progress.peek(), segments: entry.segments.peek() };
    });
    const text = JSON.stringify(jobs);
    if (text === last) return;
    last = text;
    save(model, 'jobs', jobs);
  };
  const later = () => {
    timer ??= setTimeout(push, PUSH_MS);
  };
  const undo = store.onAny(later);
  later();
  return () => {
    undo();
    clearTimeout(timer);
  };
}

/** Set a trait; a comm that ended with its kernel is no error. */
export function save(model: PanelModel, name: 'jobs' | 'selected', value: unknown): void {
  try {
    model.set(name, value);
    model.save_changes();
  } catch (error) {
    console.debug('jupyter_export: the kernel of this panel is gone', error);
  }
}
