import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { Feed } from '../src/core/feed';
import { Rest } from '../src/core/rest';
import { Store } from '../src/core/store';
import { FakeServer, job } from './fake';

let server: FakeServer;
let store: Store;
let feed: Feed;

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
  store = new Store();
  feed = new Feed(server, store, { random: () => 0.5 });
  feed.start();
});

afterEach(() => {
  feed.stop();
  vi.useRealTimers();
});

const hello = () => server.last.sent.find(m => m.type === 'hello');

test('the first hello asks for everything and the link is live only after its answer', () => {
  expect(store.link.value).toBe('connecting');
  server.accept();
  expect(hello()).toEqual({ type: 'hello', epoch: null, since: null });
  expect(store.link.value).toBe('connecting');
  server.snapshot(7, [job('a')]);
  expect(store.link.value).toBe('live');
});

test('after a cut it says so, comes back by itself, and resumes from its last event', () => {
  server.accept();
  server.snapshot(7, [job('a')]);
  server.cut();
  expect(store.link.value).toBe('reconnecting');
  vi.advanceTimersByTime(1000);
  expect(server.channels).toHaveLength(2);
  server.accept();
  expect(hello()).toEqual({ type: 'hello', epoch: 'e', since: 7 });
  server.say({ type: 'event', seq: 8, event: 'completed', job: job('a', 'completed') });
  expect(store.link.value).toBe('live');
  expect(store.entry('a')!.job.value.state).toBe('completed');
});

test('a hello that has nothing to tell is live with the answer to its ping', () => {
  server.accept();
  server.snapshot(7, []);
  server.cut();
  vi.advanceTimersByTime(1000);
  server.accept();
  expect(store.link.value).toBe('reconnecting');
  expect(server.last.sent).toContainEqual({ type: 'ping' });
  server.say({ type: 'pong' });
  expect(store.link.value).toBe('live');
});

test('a missing event brings a hello from the last one that is known', () => {
  server.accept();
  server.snapshot(7, [job('a')]);
  server.say({ type: 'event', seq: 9, event: 'completed', job: job('a', 'completed') });
  expect(server.channels).toHaveLength(2);
  server.accept();
  expect(hello()).toEqual({ type: 'hello', epoch: 'e', since: 7 });
});

test('a connection that was left behind cannot speak any more', () => {
  server.accept();
  server.snapshot(7, [job('a')]);
  const old = server.last;
  server.say({ type: 'event', seq: 9, event: 'x', job: job('a', 'completed') });
  old.events.heard({ type: 'event', seq: 8, event: 'x', job: job('a', 'failed') });
  old.events.closed(1006, '');
  expect(store.entry('a')!.job.value.state).toBe('running');
  expect(server.channels).toHaveLength(2);
});

test('a server that falls silent without closing is noticed', () => {
  server.accept();
  server.snapshot(7, []);
  vi.advanceTimersByTime(60_000);
  expect(store.link.value).not.toBe('live');
  expect(server.channels.length).toBeGreaterThan(1);
});

test('a server that only answers pings stays live', () => {
  server.accept();
  server.snapshot(7, []);
  for (let second = 0; second < 60; second += 10) {
    vi.advanceTimersByTime(10_000);
    server.say({ type: 'pong' });
  }
  expect(server.channels).toHaveLength(1);
  expect(store.link.value).toBe('live');
});

test('a ping of the server is answered', () => {
  server.accept();
  server.snapshot(7, []);
  server.say({ type: 'ping' });
  expect(server.last.sent.at(-1)).toEqual({ type: 'pong' });
});

test('delays grow, are jittered, and have a limit', () => {
  const delays: number[] = [];
  for (let i = 0; i < 10; i++) {
    server.cut();
    const from = Date.now();
    const count = server.channels.length;
    while (server.channels.length === count) vi.advanceTimersByTime(50);
    delays.push(Date.now() - from);
  }
  expect(delays.slice(0, 4)).toEqual([250, 500, 1000, 2000]);
  expect(Math.max(...delays)).toBe(7500);
});

test('after some vain tries it says offline instead of reconnecting', () => {
  const said: string[] = [];
  for (let i = 0; i < 6; i++) {
    server.cut();
    said.push(store.link.value);
    vi.advanceTimersByTime(20_000);
  }
  expect(said[0]).toBe('reconnecting');
  expect(said.at(-1)).toBe('offline');
});

test('a network that is back is tried at once, not when the delay is over', () => {
  server.accept();
  server.snapshot(7, []);
  for (let i = 0; i < 5; i++) {
    server.cut();
    if (i < 4) vi.advanceTimersByTime(20_000);
  }
  const count = server.channels.length;
  globalThis.dispatchEvent(new Event('online'));
  expect(server.channels).toHaveLength(count + 1);
});

test('a tab that becomes visible asks whether its connection still lives', () => {
  server.accept();
  server.snapshot(7, []);
  server.last.sent.length = 0;
  document.dispatchEvent(new Event('visibilitychange'));
  expect(server.last.sent).toEqual([{ type: 'ping' }]);
  vi.advanceTimersByTime(6000);
  expect(store.link.value).toBe('reconnecting');
});

test('who may not see exports is told so, and the server is not hammered', () => {
  server.accept();
  server.cut(4403);
  expect(store.link.value).toBe('offline');
  expect(store.reason.value).toContain('You may not see');
  vi.advanceTimersByTime(20_000);
  expect(server.channels).toHaveLength(1);
});

test('a hello that was not understood is not repeated', () => {
  server.accept();
  server.snapshot(7, []);
  server.cut(4400);
  vi.advanceTimersByTime(1000);
  server.accept();
  expect(hello()).toEqual({ type: 'hello', epoch: null, since: null });
});

test('nothing is left running after stop', () => {
  server.accept();
  server.snapshot(7, []);
  feed.stop();
  expect(server.last.open).toBe(false);
  vi.advanceTimersByTime(120_000);
  expect(server.channels).toHaveLength(1);
});

test('when nothing helps, the server is asked why by a request, which a WebSocket cannot tell', async () => {
  feed.stop();
  const explain = vi.fn(async () => 'This page is not logged in any more. Reload it.');
  feed = new Feed(server, store, { random: () => 0.5, explain });
  feed.start();
  server.cut();
  expect(store.link.value).toBe('reconnecting');
  expect(explain).not.toHaveBeenCalled();
  for (let i = 0; i < 4; i++) {
    await vi.advanceTimersByTimeAsync(20_000);
    server.cut();
  }
  for (let i = 0; i < 3; i++) {
    server.cut();
    await vi.advanceTimersByTimeAsync(0);
    expect(store.reason.value).toContain('Reload');
    await vi.advanceTimersByTimeAsync(20_000);
    expect(store.reason.value).toContain('Reload');
  }
  server.accept();
  server.snapshot(1, []);
  expect(store.reason.value).toBe('');
});

test.each([
  [403, undefined, 'Reload it'],
  [401, undefined, 'Reload it'],
  [200, undefined, 'Reload it'],
  [424, { message: 'not running' }, 'Start it again'],
  [200, { status: 'ok' }, ''],
  [500, undefined, '']
])('an answer %i with %j is explained by %j', async (status, json, text) => {
  server.answer = () => ({ status, type: 'x', json });
  const why = await new Rest(server).refusal();
  expect(why).toContain(text);
  expect(why === '').toBe(text === '');
});
