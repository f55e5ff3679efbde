// Bundles the two front ends from one core: JupyterLab's and the notebook widget's.
import { build } from 'esbuild';
import { mkdir, readFile, writeFile } from 'node:fs/promises';

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
// What travels with every panel is not burdened with the editor.
const widgets = { index: 'widget', editor: 'editor' };
for (const [entry, name] of Object.entries(widgets)) {
  await build({
    ...common,
    entryPoints: [`src/widget/${entry}.ts`],
    outfile: `../jupyter_export/static/${name}.js`
  });
}
await mkdir('../jupyter_export/static', { recursive: true });
const [base, editor] = await Promise.all(
  ['base', 'editor'].map(name => readFile(`style/${name}.css`, 'utf8'))
);
await writeFile('../jupyter_export/static/widget.css', base);
await writeFile('../jupyter_export/static/editor.css', base + editor);
