import { expect, test, vi } from 'vitest';

import { Changed, fetchFilm } from '../src/core/film';
import { Core } from '../src/core/registry';
import type { PanelModel } from '../src/core/model';
import type { Reply } from '../src/core/transport';

/** A widget in the page: what it sends, and a kernel that answers over it. */
class Widget {
  sent: any[] = [];
  private hear = new Set<(content: unknown, buffers?: DataView[]) => void>();

  constructor(private kernel: string) {}

  get = (name: string) => (name === 'kernel' ? this.kernel : '');
  send = (content: unknown) => void this.sent.push(content);
  on = (_: string, callback: any) => void this.hear.add(callback);
  off = (_: string, callback: any) => void this.hear.delete(callback);

  say(content: unknown, ...buffers: DataView[]): void {
    for (const callback of [...this.hear]) callback(content, buffers);
  }

  get model(): PanelModel {
    return this as unknown as PanelModel;
  }

  /** The tags of the feeds that it was asked to open. */
  get feeds(): string[] {
    return this.sent.filter(m => m.type === 'feed' && m.action === 'open').map(m => m.tag);
  }
}

const tick = () => new Promise(resolve => setTimeout(resolve));

test('all panels of a kernel share one connection, which moves on when its panel goes', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(0);
  const core = new Core();
  const [first, second, elsewhere] = [new Widget('k1'), new Widget('k1'), new Widget('k2')];
  const gone = core.register('a', first.model);
  core.register('b', second.model);
  core.register('c', elsewhere.model);
  const session = core.through(first.model);
  expect(core.through(second.model)).toBe(session);
  expect(core.through(elsewhere.model)).not.toBe(session);
  const release = [session.use(), session.use()];
  await tick();
  expect(first.feeds).toHaveLength(1);
  expect(second.sent).toEqual([]);
  first.say({ type: 'feed', tag: first.feeds[0], event: 'opened' });
  expect(first.sent.at(-2)).toMatchObject({ action: 'send', message: { type: 'hello' } });

  const lost = session.rest.health();
  gone();
  await expect(lost).rejects.toThrow('closed');
  await vi.waitFor(() => expect(second.feeds).toHaveLength(1));
  const asked = session.rest.health();
  const { tag } = second.sent.at(-1);
  second.say({ type: 'reply', tag, status: 200, content_type: 'application/json', body: { a: 1 } });
  expect(await asked).toEqual({ a: 1 });
  expect(first.sent.filter(m => m.type === 'request')).toHaveLength(1);
  release.forEach(f => f());
});

const film = (text: string, size: number, etag = '"1"') => {
  const asked: number[] = [];
  const piece = async (from: number): Promise<Reply> => {
    asked.push(from);
    const blob = new Blob([text.slice(from, from + size)]);
    return { status: 206, type: 'video/mp4', total: text.length, etag, blob };
  };
  return { piece, asked };
};

test('a film is put together from its pieces, and says how far it is', async () => {
  const { piece, asked } = film('abcdefgh', 3);
  const told: number[] = [];
  const blob = await fetchFilm(piece, done => told.push(done), new AbortController().signal);
  expect(await blob.text()).toBe('abcdefgh');
  expect(blob.type).toBe('video/mp4');
  expect([asked, told]).toEqual([[0, 3, 6], [3, 6, 8]]);
});

test('two versions of a film are never mixed', async () => {
  const versions = [film('abcdefgh', 3), film('abcdefgh', 3, '"2"')];
  const piece = (from: number) => versions[from ? 1 : 0]!.piece(from);
  const signal = new AbortController().signal;
  await expect(fetchFilm(piece, () => undefined, signal)).rejects.toBeInstanceOf(Changed);
});

test('a film that nobody wants any more is not fetched to its end', async () => {
  const { piece, asked } = film('abcdefgh', 1);
  const life = new AbortController();
  const fetched = fetchFilm(piece, done => done === 2 && life.abort(), life.signal);
  await expect(fetched).rejects.toThrow();
  expect(asked).toEqual([0, 1, 2]);
});
