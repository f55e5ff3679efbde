/** One server as a page knows it: store, feed and requests over one transport. */

import { Feed } from './feed';
import { Rest } from './rest';
import { Store } from './store';
import type { Transport } from './transport';

/** Time for the events of one moment to come in before the line is asked for once. */
const SETTLE_MS = 300;
/** A page that closes its last panel and opens another keeps its connection. */
const LINGER_MS = 3000;

export class Session {
  readonly store = new Store();
  readonly rest: Rest;
  private feed: Feed;
  private users = 0;
  private closing: ReturnType<typeof setTimeout> | undefined;
  private asking: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly transport: Transport,
    private onIdle: () => void = () => undefined
  ) {
    this.rest = new Rest(transport);
    this.feed = new Feed(transport, this.store);
    this.store.onChange(changes => {
      if (changes.some(change => !change.late)) this.askForPlaces();
    });
  }

  /** Keep the connection open until the returned function is called. */
  use(): () => void {
    clearTimeout(this.closing);
    if (this.users++ === 0) this.feed.start();
    let used = true;
    return () => {
      if (!used) return;
      used = false;
      if (--this.users > 0) return;
      this.closing = setTimeout(() => {
        this.feed.stop();
        clearTimeout(this.asking);
        this.onIdle();
      }, LINGER_MS);
    };
  }

  /** Another job's start moves everybody in the line, and no event says so. */
  private askForPlaces(): void {
    if (!this.store.active.peek().some(e => e.job.peek().state === 'queued')) return;
    clearTimeout(this.asking);
    this.asking = setTimeout(() => {
      this.rest.active().then(
        jobs => this.store.place(jobs),
        error => console.warn('jupyter_export: the places in the queue are not known', error)
      );
    }, SETTLE_MS);
  }
}
