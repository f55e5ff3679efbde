import { expect, test } from 'vitest';

import { Acks, KEPT_MS, type Shelf } from '../src/core/acks';
import { job } from './fake';

const NOW = Date.parse('2026-01-02T00:00:00Z');
const done = (id: string, finished_at = '2026-01-01T23:00:00.000Z', attempt = 1) =>
  job(id, 'completed', { finished_at, attempt });

function shelf(): Shelf & { items: Map<string, string> } {
  const items = new Map<string, string>();
  return {
    items,
    getItem: key => items.get(key) ?? null,
    setItem: (key, value) => void items.set(key, value)
  };
}

const acks = (where: Shelf | null, now = NOW) => new Acks('http://x/base/', where, () => now);

test('an ending is told once, also after a reload', () => {
  const where = shelf();
  expect(acks(where).claim(done('a'))).toBe(true);
  expect(acks(where).claim(done('a'))).toBe(false);
});

test('a retry that ends again is told again', () => {
  const where = shelf();
  expect(acks(where).claim(done('a'))).toBe(true);
  expect(acks(where).claim(done('a', undefined, 2))).toBe(true);
});

test('what ended more than a day ago is neither told nor kept', () => {
  const where = shelf();
  acks(where).claim(done('a'));
  const later = acks(where, NOW + KEPT_MS);
  expect(later.claim(done('a'))).toBe(false);
  expect(later.claim(done('b', new Date(NOW + KEPT_MS).toISOString()))).toBe(true);
  expect([...where.items.values()].join()).not.toContain('a/1');
});

test('a full or forbidden storage costs nothing but the memory of other pages', () => {
  const broken: Shelf = {
    getItem: () => {
      throw new DOMException('no', 'SecurityError');
    },
    setItem: () => {
      throw new DOMException('full', 'QuotaExceededError');
    }
  };
  for (const where of [broken, null]) {
    const one = acks(where);
    expect(one.claim(done('a'))).toBe(true);
    expect(one.claim(done('a'))).toBe(false);
  }
});

test('somebody else’s text under our key is survived', () => {
  for (const text of ['{', '[1]', 'null', '"x"', '{"a/1/completed":"soon"}']) {
    const where = shelf();
    acks(where).claim(done('x'));
    where.items.set([...where.items.keys()][0]!, text);
    expect(acks(where).claim(done('a'))).toBe(true);
  }
});

test('a browser that was never here is told nothing of what ended before', () => {
  const where = shelf();
  const first = acks(where);
  expect(first.known).toBe(false);
  first.begin([done('a')]);
  expect(first.claim(done('a'))).toBe(false);
  expect(acks(where).known).toBe(true);
});

test('two servers of one origin do not share what was told', () => {
  const where = shelf();
  const of = (url: string) => new Acks(url, where, () => NOW);
  expect(of('http://x/user/a/').claim(done('a'))).toBe(true);
  expect(of('http://x/user/b/').claim(done('a'))).toBe(true);
});
