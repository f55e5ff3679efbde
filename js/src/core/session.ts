/** One server as a page knows it: store, feed and requests over one transport. */

import { Feed } from './feed';
import { Rest } from './rest';
import { Store } from './store';
import type { Transport } from './transport';

/** A page that closes its last panel and opens another keeps its connection. */
const LINGER_MS = 3000;

export class Session {
  readonly store = new Store();
  readonly rest: Rest;
  private feed: Feed;
  private users = 0;
  private closing: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly transport: Transport,
    private onIdle: () => void = () => undefined
  ) {
    this.rest = new Rest(transport);
    this.feed = new Feed(transport, this.store, { explain: () => this.rest.refusal() });
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
          this.onIdle();
      }, LINGER_MS);
    };
  }
}
