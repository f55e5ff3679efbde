/** What an unfolded row tells of one job. */

import { signal } from '@preact/signals';
import { render } from 'preact';
import { describe, expect, it } from 'vitest';

import { Context, type PanelContext } from '../src/core/context';
import { Details } from '../src/core/details';
import { english } from '../src/core/host';
import type { Entry } from '../src/core/store';
import type { Job } from '../src/core/types';
import { job } from './fake';

function facts(shown: Job): Record<string, string> {
  const element = document.createElement('div');
  const context = { trans: english, host: {} } as PanelContext;
  const entry = { job: signal(shown), segments: signal(shown.segments) } as Entry;
  render(
    <Context.Provider value={context}>
      <Details entry={entry} />
    </Context.Provider>,
    element
  );
  const names = [...element.querySelectorAll('dt')];
  return Object.fromEntries(
    names.map(name => [name.textContent, name.nextElementSibling?.textContent ?? ''])
  );
}

describe('the details of a job', () => {
  it('tell what it holds and has taken of a GPU', () => {
    const waiting = job('a', 'queued', { gpu_memory: { reserved_mib: 2150, peak_mib: null } });
    expect(facts(waiting)['GPU memory']).toBe('2.1 GB reserved');
    const done = job('a', 'failed', { gpu_memory: { reserved_mib: 2150, peak_mib: 1536 } });
    expect(facts(done)['GPU memory']).toBe('at most 1.5 GB used, 2.1 GB reserved');
  });

  it('say nothing of a GPU that is not used', () => {
    expect(facts(job('a', 'failed', { gpu_memory: null }))).not.toHaveProperty('GPU memory');
    expect(facts(job('a', 'failed'))).not.toHaveProperty('GPU memory');
  });
});
