import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { mountPanel, type Mounted } from '../src/core/panel';
import { Session } from '../src/core/session';
import { FakeServer, job, progress } from './fake';

let server: FakeServer;
let session: Session;
let element: HTMLElement;
let panel: Mounted;

beforeEach(() => {
  server = new FakeServer();
  session = new Session(server);
  element = document.createElement('div');
  document.body.append(element);
  panel = mountPanel(element, { session, host: {} });
  server.accept();
});

afterEach(() => {
  panel.dispose();
  element.remove();
});

const row = (id: string) => element.querySelector(`[data-job="${id}"]`)!;
const button = (id: string, label: string) =>
  row(id).querySelector<HTMLButtonElement>(`[aria-label="${label}"]`)!;

test('a hostile name is shown as the text that it is', async () => {
  const output = '<img src=x onerror=alert(1)>.mp4';
  server.snapshot(1, [job('a', 'failed', { output, error: problem(`no ${output}`) })]);
  await vi.waitFor(() => expect(row('a')?.textContent).toContain(output));
  expect(element.querySelector('img')).toBeNull();
});

test('a database that was damaged is told for as long as the server tells it', async () => {
  server.snapshot(1, [], 'e', 'The job database was damaged');
  await vi.waitFor(() => expect(element.textContent).toContain('The job database was damaged'));
  server.snapshot(2, []);
  await vi.waitFor(() => expect(element.textContent).not.toContain('damaged'));
});

test('a row tells how far it is, how fast, and how long it takes', async () => {
  server.snapshot(1, [job('a')]);
  const now = progress(41.7, { frames: 500, total_frames: 1200, fps: 88.4, eta_s: 75 });
  server.say({ type: 'progress', job: 'a', progress: now });
  await vi.waitFor(() => expect(row('a').textContent).toContain('41 %'));
  expect(row('a').textContent).toContain('500 / 1,200 frames · 88 fps · 1:15 left');
  expect(row('a').querySelector('progress')!.value).toBeCloseTo(41.7);
});

test('a running row tells what keeps it from going on, for as long as it does', async () => {
  server.snapshot(1, [job('a')]);
  const reason = 'a free core: 1 of 1 encode';
  server.say({ type: 'progress', job: 'a', progress: progress(5), waiting_for: reason });
  await vi.waitFor(() => expect(row('a')?.textContent).toContain(`waits for ${reason}`));
  server.say({ type: 'progress', job: 'a', progress: progress(6), waiting_for: null });
  await vi.waitFor(() => expect(row('a').textContent).not.toContain('waits for'));
});

test('a waiting row tells its place and the reason, also when only the line moved', async () => {
  server.snapshot(1, [
    job('a', 'queued', { queue_position: 1 }),
    job('b', 'queued', { queue_position: 2, waiting_for: '2 before it' })
  ]);
  await vi.waitFor(() => expect(row('b')?.textContent).toContain('Place 2'));
  server.say({ type: 'event', seq: 2, event: 'started', job: job('a') });
  server.say({ type: 'positions', positions: { b: [1, '1 before it'] } });
  await vi.waitFor(() => expect(row('b').textContent).toContain('Place 1 in the queue · waits for 1 before it'));
});

test('a refused action tells the server’s reason and advice', async () => {
  const logged = vi.spyOn(console, 'error').mockImplementation(() => undefined);
  server.answer = () => ({
    status: 409,
    type: 'application/problem+json',
    json: { ...problem('Job a is completed.'), advice: 'Reload the list.' }
  });
  server.snapshot(1, [job('a')]);
  await vi.waitFor(() => expect(button('a', 'Cancel')).toBeTruthy());
  button('a', 'Cancel').click();
  await vi.waitFor(() =>
    expect(element.querySelector('[role=alert]')?.textContent).toContain(
      'Cancel: Job a is completed. Reload the list.'
    )
  );
  expect(logged).toHaveBeenCalledWith(
    'jupyter_export: Cancel failed',
    expect.objectContaining({ message: expect.stringContaining('Job a is completed.') })
  );
});

test('to the front means before the first, whatever their priorities', async () => {
  server.snapshot(1, [
    job('a', 'queued', { queue_position: 1, priority: 3 }),
    job('c', 'queued', { queue_position: 2 }),
    job('b', 'queued', { queue_position: 3 })
  ]);
  const front = 'To the front of the queue';
  await vi.waitFor(() => expect(button('b', front)).toBeTruthy());
  expect(button('a', front).disabled).toBe(true);
  button('b', front).click();
  expect(server.asked.at(-1)).toMatchObject({
    method: 'PATCH',
    path: 'jobs/b',
    body: { priority: 4 }
  });
});

test('state changes are said to screen readers, progress is not', async () => {
  server.snapshot(1, [job('a')]);
  await vi.waitFor(() => expect(row('a')).toBeTruthy());
  const live = () => element.querySelector('[aria-live]')!.textContent;
  // Effects run after the paint.
  await new Promise(resolve => setTimeout(resolve, 150));
  server.say({ type: 'progress', job: 'a', progress: progress(50) });
  expect(live()).toBe('');
  server.say({ type: 'event', seq: 2, event: 'completed', job: job('a', 'completed') });
  await vi.waitFor(() => expect(live()).toBe('a.mp4: Completed'));
});

test('a job that is pointed at is shown whatever was filtered', async () => {
  server.snapshot(1, [job('a'), job('b', 'completed', { project: 'demo' })]);
  await vi.waitFor(() => expect(row('a')).toBeTruthy());
  [...element.querySelectorAll<HTMLElement>('.jpx-Choices button')][1]!.click();
  await vi.waitFor(() => expect(row('b')).toBeNull());
  await new Promise(resolve => setTimeout(resolve, 150));
  panel.select('b');
  await vi.waitFor(() => expect(row('b')?.hasAttribute('data-selected')).toBe(true));
});

function problem(detail: string) {
  return { type: 'illegal-move', title: 'No', detail, advice: '' };
}

test('a finished animation is a picture, a film is a film', async () => {
  const done = { state: 'completed' } as const;
  server.snapshot(1, [
    job('a', 'completed', { ...done, output: 'a.GIF' }),
    job('b', 'completed', { ...done, output: 'b.webm' })
  ]);
  await vi.waitFor(() => expect(row('a')).toBeTruthy());
  for (const id of ['a', 'b']) {
    row(id).querySelector<HTMLElement>('[aria-expanded]')!.click();
  }
  await vi.waitFor(() => expect(row('b').querySelector('video')).toBeTruthy());
  expect(row('a').querySelector('video')).toBeNull();
  expect(row('a').querySelector('.jpx-Details img')!.getAttribute('src')).toBe('/jobs/a/file');
});

test('the focus stays where it is, whatever the exports around it do', async () => {
  const waiting = (id: string) => job(id, 'queued', { queue_position: 1 });
  const others = ['a', 'b', 'c', 'd', 'e', 'f'];
  server.snapshot(1, [...others.map(waiting), waiting('z')]);
  await vi.waitFor(() => expect(row('z')).not.toBeNull());
  const focused = button('z', 'Pause');
  focused.focus();
  const order = () => [...element.querySelectorAll('[data-job]')].map(e => e.getAttribute('data-job')).join('');
  const seen = new Set<string>();
  let chance = 1;
  for (let seq = 2; seq < 120; seq++) {
    chance = (chance * 48271) % 2147483647;
    const id = others[chance % 6]!;
    const state = (['running', 'completed', 'queued'] as const)[(chance >> 8) % 3]!;
    server.say({ type: 'event', seq, event: state, job: job(id, state, { priority: (chance >> 12) % 4 }) });
    if (seq % 3) continue; // several at once, as a feed has them
    await new Promise(resolve => setTimeout(resolve, 5));
    seen.add(order());
    expect(document.activeElement, `after ${seq}: ${order()}`).toBe(focused);
  }
  expect(seen.size).toBeGreaterThan(10);
});

test.each(['Pause', 'Cancel'])('%s gives its focus to the row, never to the button that follows it', async label => {
  server.snapshot(1, [job('a', 'queued', { paused: label === 'Cancel', queue_position: 1 })]);
  await vi.waitFor(() => expect(row('a')).not.toBeNull());
  button('a', label).focus();
  const next = label === 'Cancel' ? job('a', 'cancelled') : job('a', 'completed');
  server.say({ type: 'event', seq: 2, event: next.state, job: next });
  await vi.waitFor(() => expect(row('a').getAttribute('data-state')).toBe(next.state));
  expect(document.activeElement).toBe(row('a'));
});
