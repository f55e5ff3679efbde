/** What the form tells of an export before it is queued. */

import { render } from 'preact';
import { describe, expect, it } from 'vitest';

import { english } from '../src/core/host';
import type { Estimate } from '../src/core/types';
import { Estimated, estimateText } from '../src/lab/estimate';

const estimate: Estimate = {
  seconds: 80.4,
  examples: 6,
  bytes: 45_200_000,
  segments: { copied: 3, rendered: 2, reused: 0, total: 5 },
  vram_mib: null,
  refusal: null
};

function drawn(shown: Estimate | null): HTMLElement {
  const element = document.createElement('div');
  render(<Estimated estimate={shown} trans={english} />, element);
  return element;
}

describe('an estimate', () => {
  it('is told in one line', () => {
    expect(estimateText(estimate, english)).toBe(
      'About 1:20 · 45.2 MB · 3 of 5 segments are copied'
    );
    const reused = { copied: 0, rendered: 1, reused: 1, total: 2 };
    expect(estimateText({ ...estimate, segments: reused, vram_mib: 2150 }, english)).toBe(
      'About 1:20 · 45.2 MB · 1 of 2 segments are there already · 2.1 GB of GPU memory'
    );
  });

  it('says what it rests on', () => {
    expect(drawn(estimate).querySelector('p')?.title).toContain('6 finished exports');
    expect(drawn({ ...estimate, examples: 0 }).querySelector('p')?.title).toContain('No export');
    expect(drawn(null).textContent).toBe('');
  });

  it('gives way to the reason why the export would be refused, and what would fit', () => {
    const refusal = {
      type: 'out-of-memory',
      title: 'Not enough memory for upscaling',
      detail: 'Upscaling needs 9.1 GB of GPU memory, the largest GPU has 5.5 GB.',
      advice: 'Use scale 2: needs 1.1 GB; or the CPU (set force_cpu).'
    };
    const alert = drawn({ ...estimate, refusal }).querySelector('[role=alert]');
    expect(alert?.textContent).toBe(`${refusal.detail} ${refusal.advice}`);
  });
});
