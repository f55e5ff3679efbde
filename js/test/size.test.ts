// @vitest-environment node
import { build } from 'esbuild';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';

test('the widget, which travels with every panel, has less than 25 kB', async () => {
  const { outputFiles } = await build({
    entryPoints: ['src/widget/index.ts'],
    bundle: true,
    format: 'esm',
    target: 'es2022',
    jsx: 'automatic',
    jsxImportSource: 'preact',
    define: { __VERSION__: '"0.0.0"' },
    minify: true,
    write: false
  });
  expect(gzipSync(outputFiles[0]!.contents).length).toBeLessThan(25_000);
});
