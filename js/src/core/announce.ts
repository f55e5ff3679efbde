/** Which endings to announce: each once, those missed while away on return, none twice. */

import type { Acks } from './acks';
import type { Session } from './session';
import type { Change } from './store';
import type { Job } from './types';

export interface Announcement {
  jobs: Job[];
  /** It happened while nobody here could see it. */
  late: boolean;
}

/** What is heard so soon after the first visit's snapshot belongs to the past that it shows. */
const SETTLE_MS = 300;

/** Call `tell` for what ends from now on, and for what ended while away. Returns the undo. */
export function announce(
  session: Session,
  acks: Acks,
  tell: (announcement: Announcement) => void
): () => void {
  let waiting: Change[] = [];
  let settling = false;
  const life = new AbortController();
  const show = () => {
    // A hidden page would announce to nobody; the page that is looked at does it.
    if (globalThis.document?.visibilityState === 'hidden') return;
    const changes = waiting;
    waiting = [];
    const late = changes.filter(c => c.late && acks.claim(c.job)).map(c => c.job);
    if (late.length) tell({ jobs: late, late: true });
    for (const { job, late } of changes) {
      if (!late && acks.claim(job)) tell({ jobs: [job], late: false });
    }
  };
  const { store } = session;
  // Also of an empty list: from then on this browser has been here.
  const stop = store.loaded.subscribe(loaded => {
    if (!loaded || acks.known) return;
    acks.begin(store.finished.peek().map(entry => entry.job.peek()));
    settling = true;
    setTimeout(() => (settling = false), SETTLE_MS);
  });
  const undo = store.onChange(changes => {
    const ended = changes.filter(
      ({ job }) => job.finished_at && (job.state === 'completed' || job.state === 'failed')
    );
    if (settling) acks.begin(ended.map(c => c.job));
    waiting.push(...ended);
    show();
  });
  globalThis.document?.addEventListener('visibilitychange', show, { signal: life.signal });
  return () => {
    stop();
    undo();
    life.abort();
  };
}
