// @vitest-environment node
import { build } from 'esbuild';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';

test.each([
  ['the panel, which travels with every panel', 'index', 25_000],
  ['the editor, which travels with every editor', 'editor', 35_000]
])('%s, has less than it may', async (_, entry, most) => {
  const { outputFiles } = await build({
    entryPoints: [`src/widget/${entry}.ts`],
    bundle: true,
    format: 'esm',
    target: 'es2022',
    jsx: 'automatic',
    jsxImportSource: 'preact',
    define: { __VERSION__: '"0.0.0"' },
    minify: true,
    write: false
  });
  const size = gzipSync(outputFiles[0]!.contents).length;
  expect(size).toBeLessThan(most);
});
