import { expect, test } from 'vitest';

import { Store, type Change } from '../src/core/store';
import type { FeedMessage } from '../src/core/types';
import { job, progress } from './fake';

const snapshot = (seq: number, jobs = [job('a')], epoch = 'e'): FeedMessage => ({
  type: 'snapshot',
  epoch,
  seq,
  jobs,
  queue: { state: 'running' }
});

const event = (seq: number, it = job('a'), name: string = it.state): FeedMessage => ({
  type: 'event',
  seq,
  event: name,
  job: it
});

test('an event that is heard twice counts once', () => {
  const store = new Store();
  const heard: Change[] = [];
  store.receive(snapshot(5));
  store.onChange(changes => heard.push(...changes));
  expect(store.receive(event(6, job('a', 'completed')))).toBe(true);
  expect(store.receive(event(6, job('a', 'completed')))).toBe(true);
  expect(store.receive(event(4, job('a', 'queued')))).toBe(true);
  expect(heard.map(c => [c.before?.state, c.job.state])).toEqual([['running', 'completed']]);
  expect(store.entry('a')!.job.value.state).toBe('completed');
});

test('a missing event is noticed and nothing after it is taken in', () => {
  const store = new Store();
  store.receive(snapshot(5));
  expect(store.receive(event(7, job('a', 'completed')))).toBe(false);
  expect(store.entry('a')!.job.value.state).toBe('running');
  expect(store.resume()).toEqual({ epoch: 'e', since: 5 });
  expect(store.receive(event(6, job('b')))).toBe(true);
  expect(store.receive(event(7, job('a', 'completed')))).toBe(true);
  expect([...store.entries.value.keys()]).toEqual(['a', 'b']);
});

test('a snapshot that is older than what was heard does not turn the clock back', () => {
  const store = new Store();
  store.receive(snapshot(5));
  store.receive(event(6, job('a', 'completed')));
  store.receive(snapshot(5));
  expect(store.entry('a')!.job.value.state).toBe('completed');
});

test('another database begins anew, whatever its numbers', () => {
  const store = new Store();
  store.receive(snapshot(50));
  store.receive(snapshot(2, [job('z', 'queued')], 'other'));
  expect([...store.entries.value.keys()]).toEqual(['z']);
  expect(store.resume()).toEqual({ epoch: 'other', since: 2 });
});

test('a durable event does not set a running bar back', () => {
  const store = new Store();
  store.receive(snapshot(1));
  store.receive({ type: 'progress', job: 'a', progress: progress(41) });
  store.receive(event(2, job('a', 'running', { progress: progress(25) }), 'advanced'));
  expect(store.entry('a')!.progress.value.percent).toBe(41);
});

test('a new attempt begins where it says', () => {
  const store = new Store();
  store.receive(snapshot(1));
  store.receive({ type: 'progress', job: 'a', progress: progress(41) });
  store.receive(event(2, job('a', 'running', { attempt: 2, progress: progress(25) }), 'started'));
  expect(store.entry('a')!.progress.value.percent).toBe(25);
});

test('progress that comes after the end is ignored', () => {
  const store = new Store();
  store.receive(snapshot(1));
  store.receive(event(2, job('a', 'completed', { progress: progress(100) })));
  store.receive({ type: 'progress', job: 'a', progress: progress(99) });
  expect(store.entry('a')!.progress.value.percent).toBe(100);
});

test('progress repaints one bar and leaves the lists alone', () => {
  const store = new Store();
  store.receive(snapshot(1, [job('a'), job('b')]));
  let lists = 0;
  const undo = store.active.subscribe(() => lists++);
  store.receive({ type: 'progress', job: 'a', progress: progress(10) });
  expect(lists).toBe(1);
  undo();
});

test('an event without the spec keeps the spec', () => {
  const store = new Store();
  const spec = { kind: 'clip', output: 'a.mp4', sources: [{ path: 's.mp4' }] };
  store.receive(snapshot(1, [job('a', 'running', { spec })]));
  store.receive(event(2, job('a', 'completed')));
  expect(store.entry('a')!.job.value.spec).toEqual(spec);
});

test('a deleted job goes, and is announced to nobody', () => {
  const store = new Store();
  const heard: Change[] = [];
  store.receive(snapshot(1, [job('a', 'completed')]));
  store.onChange(changes => heard.push(...changes));
  store.receive(event(2, job('a', 'completed'), 'deleted'));
  expect(store.entries.value.size).toBe(0);
  expect(heard).toEqual([]);
});

test('what runs comes first, then the line, then the latest end', () => {
  const store = new Store();
  store.receive(
    snapshot(1, [
      job('old', 'completed', { finished_at: '2026-01-01T00:00:00.000Z' }),
      job('second', 'queued', { queue_position: 2 }),
      job('first', 'queued', { queue_position: 1 }),
      job('runs'),
      job('new', 'failed', { finished_at: '2026-01-02T00:00:00.000Z' })
    ])
  );
  const ids = (entries: { id: string }[]) => entries.map(e => e.id);
  expect(ids(store.active.value)).toEqual(['runs', 'first', 'second']);
  expect(ids(store.finished.value)).toEqual(['new', 'old']);
});

test('a project is complete when its latest job is', () => {
  const store = new Store();
  const of = (id: string, state: 'completed' | 'failed', day: number) =>
    job(id, state, { project: 'demo', created_at: `2026-01-0${day}T00:00:00.000Z` });
  store.receive(snapshot(1, [of('a', 'failed', 1), of('b', 'completed', 2)]));
  expect(store.projects.value.get('demo')).toEqual({ jobs: 2, complete: true });
  store.receive(event(2, of('c', 'failed', 3)));
  expect(store.projects.value.get('demo')).toEqual({ jobs: 3, complete: false });
});

test('the queue is told paused and let go on', () => {
  const store = new Store();
  store.receive({ ...snapshot(1), queue: { state: 'paused' } } as FeedMessage);
  expect(store.queue.value).toBe('paused');
  store.receive({ type: 'event', seq: 2, event: 'queue', queue: { state: 'running' } });
  expect(store.queue.value).toBe('running');
});

test('places move without an event, and only for who still waits', () => {
  const store = new Store();
  store.receive(snapshot(1, [job('a'), job('b', 'queued', { queue_position: 2 })]));
  store.receive({ type: 'positions', positions: { a: [1, 'x'], b: [1, 'a free place'], z: [3, null] } });
  expect(store.entry('a')!.job.value.queue_position).toBeNull();
  const { queue_position, waiting_for } = store.entry('b')!.job.value;
  expect([queue_position, waiting_for]).toEqual([1, 'a free place']);
});
