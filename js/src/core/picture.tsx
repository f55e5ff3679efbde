/** A picture of a job, fetched when its row comes into view. */

import { useEffect, useRef, useState } from 'preact/hooks';

import { usePanel } from './context';
import { Icon } from './icons';
import type { Session } from './session';
import { Refusal } from './transport';
import type { Job } from './types';

const KEPT = 200;
const shelves = new WeakMap<Session, Map<string, Promise<string | null>>>();

/** The picture's address in this page; asked for once, the oldest are dropped. */
function addressOf(session: Session, job: Job): Promise<string | null> {
  let shelf = shelves.get(session);
  if (!shelf) shelves.set(session, (shelf = new Map()));
  const which = job.state === 'completed' ? 'poster' : 'thumbnail';
  const key = `${job.id}/${which}/${job.attempt}`;
  const known = shelf.get(key);
  if (known) return known;
  const found = session.rest.picture(job.id, which).then(
    blob => blob && URL.createObjectURL(blob),
    error => {
      if (!(error instanceof Refusal)) shelf.delete(key);
      return null;
    }
  );
  shelf.set(key, found);
  const oldest = shelf.size > KEPT && shelf.keys().next().value;
  if (oldest) {
    void shelf.get(oldest)?.then(url => url && URL.revokeObjectURL(url));
    shelf.delete(oldest);
  }
  return found;
}

export function Picture({ job }: { job: Job }) {
  const { session } = usePanel();
  const frame = useRef<HTMLSpanElement>(null);
  const [url, setUrl] = useState<string | null>(null);
  const done = job.state === 'completed';
  useEffect(() => {
    if (typeof IntersectionObserver === 'undefined' || !frame.current) return;
    let wanted = true;
    const observer = new IntersectionObserver(([seen]) => {
      if (!seen?.isIntersecting) return;
      observer.disconnect();
      void addressOf(session, job).then(found => wanted && setUrl(found));
    });
    observer.observe(frame.current);
    return () => {
      wanted = false;
      observer.disconnect();
    };
  }, [session, job.id, job.attempt, done]);
  return (
    <span class="jpx-Picture" ref={frame} aria-hidden="true">
      {url ? <img src={url} alt="" onError={() => setUrl(null)} /> : <Icon name="film" />}
    </span>
  );
}
