/** Keeps one store in step with the server: hello, heartbeats, and coming back after a cut. */

import type { Channel, Transport } from './transport';
import type { Store } from './store';
import type { FeedMessage } from './types';

const PING_MS = 10_000;
/** Silence after which a connection that looks open counts as dead. */
const SILENCE_MS = 25_000;
/** How long an answer to a question of ours may take. */
const ANSWER_MS = 5_000;
const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 15_000;
/** Failed tries after which "reconnecting" would be a promise that we cannot keep. */
const HOPEFUL_TRIES = 4;

/** The close codes of the feed. */
const BAD_MESSAGE = 4400;
const FORBIDDEN = 4403;

export interface FeedOptions {
  /** In [0, 1): the jitter. */
  random?: () => number;
  /** Why nothing can be had of the server, if more than the network is in the way. */
  explain?: () => Promise<string>;
}

export class Feed {
  private channel: Channel | null = null;
  private tries = 0;
  private answered = false;
  private heardAt = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private watch: ReturnType<typeof setInterval> | undefined;
  private deadline: ReturnType<typeof setTimeout> | undefined;
  private life: AbortController | null = null;
  private random: () => number;
  private explain: () => Promise<string>;
  private why = '';

  constructor(
    private transport: Transport,
    private store: Store,
    { random = Math.random, explain = async () => '' }: FeedOptions = {}
  ) {
    this.random = random;
    this.explain = explain;
  }

  start(): void {
    if (this.life) return;
    this.life = new AbortController();
    const { signal } = this.life;
    globalThis.addEventListener?.('online', () => this.wake(), { signal });
    globalThis.addEventListener?.('offline', () => this.check(), { signal });
    globalThis.document?.addEventListener(
      'visibilitychange',
      () => document.visibilityState === 'visible' && this.wake(),
      { signal }
    );
    this.connect();
  }

  stop(): void {
    this.life?.abort();
    this.life = null;
    clearTimeout(this.retry);
    this.drop();
  }

  /** There may be a network again: try now instead of later, or see whether all is well. */
  wake(): void {
    if (!this.life) return;
    if (this.channel) this.check();
    else this.connect();
  }

  /** Ask for a sign of life, and give up on the connection when there is none. */
  private check(): void {
    if (!this.channel || this.deadline !== undefined) return;
    this.channel.send({ type: 'ping' });
    this.expectAnswer();
  }

  private connect(): void {
    clearTimeout(this.retry);
    this.drop();
    this.answered = false;
    this.heardAt = Date.now();
    // A channel that was dropped must not speak for the one after it.
    let current = true;
    const channel = this.transport.open({
      opened: () => {
        if (!current) return;
        channel.send({ type: 'hello', ...this.store.resume() });
        // A hello that has nothing to tell gets no answer, but a ping gets one.
        channel.send({ type: 'ping' });
        this.expectAnswer();
      },
      heard: message => current && this.heard(message as FeedMessage),
      closed: (code, reason) => {
        if (!current) return;
        current = false;
        this.closed(code, reason);
      }
    });
    this.channel = {
      send: message => channel.send(message),
      close: () => {
        current = false;
        channel.close();
      }
    };
    this.expectAnswer(ANSWER_MS * 2);
    this.watch = setInterval(() => {
      if (Date.now() - this.heardAt > SILENCE_MS) this.lost('The server is silent.');
      else this.channel?.send({ type: 'ping' });
    }, PING_MS);
  }

  private heard(message: FeedMessage): void {
    this.heardAt = Date.now();
    clearTimeout(this.deadline);
    this.deadline = undefined;
    if (message.type === 'ping') this.channel?.send({ type: 'pong' });
    let complete = true;
    try {
      complete = this.store.receive(message);
    } catch (error) {
      console.error('jupyter_export: the feed said something that cannot be used', message, error);
    }
    if (!complete) {
      // On a new connection nothing can come between the hello and its answer.
      this.connect();
      return;
    }
    // Before the first snapshot there is nothing to be live with.
    if (!this.answered && message.type !== 'ping' && this.store.loaded.peek()) {
      this.answered = true;
      this.tries = 0;
      this.why = '';
      this.store.reason.value = '';
      this.store.link.value = 'live';
    }
  }

  private closed(code: number, reason: string): void {
    this.drop();
    if (!this.life) return;
    // What we know of this server may be what it does not understand.
    if (code === BAD_MESSAGE) this.store.forget();
    const refused = code === FORBIDDEN;
    const limit = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(this.tries, 10));
    this.tries += 1;
    const offline =
      refused || this.tries > HOPEFUL_TRIES || globalThis.navigator?.onLine === false;
    this.store.reason.value =
      this.why || reason || (refused ? 'You may not see the exports of this server.' : '');
    this.store.link.value = offline ? 'offline' : 'reconnecting';
    if (offline && !refused) void this.tellWhy();
    // Full jitter: a restarted server must not meet all its pages at the same moment.
    const delay = this.random() * (refused ? LONGEST_DELAY_MS * 4 : limit);
    this.retry = setTimeout(() => this.connect(), delay);
  }

  /** A WebSocket that is refused does not say why; a request does. */
  private async tellWhy(): Promise<void> {
    const why = await this.explain();
    if (!this.life || this.store.link.peek() !== 'offline') return;
    this.why = why;
    if (why) this.store.reason.value = why;
  }

  private lost(reason: string): void {
    this.drop();
    this.closed(1006, reason);
  }

  private expectAnswer(after = ANSWER_MS): void {
    clearTimeout(this.deadline);
    this.deadline = setTimeout(() => this.lost('The server does not answer.'), after);
  }

  private drop(): void {
    clearInterval(this.watch);
    clearTimeout(this.deadline);
    this.deadline = undefined;
    const { channel } = this;
    this.channel = null;
    channel?.close();
  }
}
