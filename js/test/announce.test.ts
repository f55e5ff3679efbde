import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { Acks, type Shelf } from '../src/core/acks';
import { announce } from '../src/core/announce';
import { Session } from '../src/core/session';
import type { Job } from '../src/core/types';
import { FakeServer, job } from './fake';

let shelf: Shelf;
let undo: (() => void)[];

beforeEach(() => {
  const items = new Map<string, string>();
  shelf = { getItem: key => items.get(key) ?? null, setItem: (k, v) => void items.set(k, v) };
  undo = [];
});

afterEach(() => {
  undo.forEach(f => f());
  vi.restoreAllMocks();
});

const done = (id: string): Job =>
  job(id, 'completed', { finished_at: new Date().toISOString() });

/** A page that is opened: what it announces, and the server that it talks to. */
function page() {
  const server = new FakeServer();
  const session = new Session(server);
  const told: [string, boolean][] = [];
  undo.push(
    announce(session, new Acks('http://x/', shelf), ({ jobs, late }) =>
      jobs.forEach(it => told.push([it.id, late]))
    )
  );
  undo.push(session.use());
  server.accept();
  return { server, told };
}

test('an end that is seen is announced at once, and not again after a cut', () => {
  page().server.snapshot(0, []);
  const { server, told } = page();
  server.snapshot(1, [job('a')]);
  server.say({ type: 'event', seq: 2, event: 'completed', job: done('a') });
  expect(told).toEqual([['a', false]]);
  server.snapshot(3, [done('a')], 'e');
  expect(told).toHaveLength(1);
});

test('what ended while no page was open is announced on return, once', () => {
  page().server.snapshot(1, []);
  const later = page();
  later.server.snapshot(5, [done('a')]);
  expect(later.told).toEqual([['a', true]]);
  const reload = page();
  reload.server.snapshot(5, [done('a')]);
  expect(reload.told).toEqual([]);
});

test('a hidden page leaves the announcement to the one that is looked at', () => {
  page().server.snapshot(0, []);
  const hidden = page();
  hidden.server.snapshot(1, [job('a')]);
  const state = vi.spyOn(document, 'visibilityState', 'get').mockReturnValue('hidden');
  hidden.server.say({ type: 'event', seq: 2, event: 'completed', job: done('a') });
  expect(hidden.told).toEqual([]);
  state.mockReturnValue('visible');
  document.dispatchEvent(new Event('visibilitychange'));
  expect(hidden.told).toEqual([['a', false]]);
});

test('a cancelled export is announced to nobody', () => {
  const { server, told } = page();
  server.snapshot(1, [job('a')]);
  const cancelled = job('a', 'cancelled', { finished_at: new Date().toISOString() });
  server.say({ type: 'event', seq: 2, event: 'cancelled', job: cancelled });
  expect(told).toEqual([]);
});

test('a browser that was never here is told nothing of the past, but all that comes', () => {
  vi.useFakeTimers();
  const { server, told } = page();
  server.snapshot(5, [done('a'), job('b'), job('c')]);
  // A snapshot may be a little old; the events after it bring it up to date.
  server.say({ type: 'event', seq: 6, event: 'completed', job: done('b') });
  expect(told).toEqual([]);
  vi.advanceTimersByTime(2000);
  server.say({ type: 'event', seq: 7, event: 'completed', job: done('c') });
  expect(told).toEqual([['c', false]]);
  vi.useRealTimers();
});
