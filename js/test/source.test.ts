import { expect, test } from 'vitest';

const sources = (import.meta as any).glob('../src/**/*.{ts,tsx}', {
  query: '?raw',
  import: 'default',
  eager: true
}) as Record<string, string>;

test('no source writes markup: everything shown is a text node', () => {
  const forbidden =
    /innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|\beval\(|new Function/i;
  expect(Object.keys(sources).length).toBeGreaterThan(15);
  const found = Object.entries(sources).filter(([, text]) => forbidden.test(text));
  expect(found.map(([path]) => path)).toEqual([]);
});

test('the core knows nothing of JupyterLab', () => {
  const found = Object.entries(sources).filter(
    ([path, text]) => !path.includes('/lab/') && /from '@(jupyterlab|lumino)\//.test(text)
  );
  expect(found.map(([path]) => path)).toEqual([]);
});
