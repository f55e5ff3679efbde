// Bundles the two front ends from one core: JupyterLab's and the notebook widget's.
import { build } from 'esbuild';
import { copyFile, mkdir, readFile } from 'node:fs/promises';

const prod = process.argv.includes('--prod');
const source = await readFile('../jupyter_export/_version.py', 'utf8');
const version = source.match(/__version__ = "([^"]+)"/)[1];

const common = {
  bundle: true,
  format: 'esm',
  target: 'es2022',
  jsx: 'automatic',
  jsxImportSource: 'preact',
  define: { __VERSION__: JSON.stringify(version) },
  minify: prod,
  sourcemap: prod ? false : 'inline',
  legalComments: 'none',
  logLevel: 'warning'
};

await build({
  ...common,
  entryPoints: ['src/lab/index.ts'],
  outfile: 'build/lab.js',
  external: ['@jupyterlab/*', '@lumino/*']
});
await build({
  ...common,
  entryPoints: ['src/widget/index.ts'],
  outfile: '../jupyter_export/static/widget.js'
});
await mkdir('../jupyter_export/static', { recursive: true });
await copyFile('style/base.css', '../jupyter_export/static/widget.css');
