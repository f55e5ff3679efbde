import { afterEach, expect, test, vi } from 'vitest';

afterEach(() => vi.restoreAllMocks());

test('two bundles of one version on a page share one core, and one connection', async () => {
  const opened = vi.fn();
  vi.stubGlobal(
    'WebSocket',
    class extends EventTarget {
      constructor(url: string) {
        super();
        opened(url);
      }
      close() {}
    }
  );
  const first = await import('../src/core/registry');
  vi.resetModules();
  const second = await import('../src/core/registry');
  expect(second.core).not.toBe(first.core);
  expect(second.core()).toBe(first.core());
  const server = { baseUrl: 'http://localhost/base/' };
  const sessions = [first.core().session(server), second.core().session(server)];
  expect(sessions[0]).toBe(sessions[1]);
  const release = sessions.map(s => s.use());
  expect(opened.mock.calls).toEqual([['ws://localhost/base/jupyter-export/feed']]);
  release.forEach(f => f());
});

test('another server gets a connection of its own', async () => {
  const { core } = await import('../src/core/registry');
  expect(core().session({ baseUrl: 'http://a/' })).not.toBe(core().session({ baseUrl: 'http://b/' }));
});
