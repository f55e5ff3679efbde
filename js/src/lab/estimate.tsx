/** What the export in the form would take: asked with each change, and never in the way. */

import { useEffect, useState } from 'preact/hooks';

import { bytes, duration } from '../core/format';
import type { Translator } from '../core/host';
import type { Session } from '../core/session';
import type { Estimate, Spec } from '../core/types';

/** Milliseconds without a change until the server is asked: not at each letter that is typed. */
const PAUSE = 600;

/** The estimate of what `make` gives; null as long as that is not known, or is no spec yet. */
export function useEstimate(
  session: Session,
  make: () => Promise<Spec>,
  changed: unknown[]
): Estimate | null {
  const [estimate, setEstimate] = useState<Estimate | null>(null);
  useEffect(() => {
    let wanted = true;
    const timer = setTimeout(() => {
      make()
        .then(spec => session.rest.estimate(spec))
        .then(
          found => wanted && setEstimate(found),
          // Whoever submits is told what is wrong.
          () => wanted && setEstimate(null)
        );
    }, PAUSE);
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  }, changed);
  return estimate;
}

/** `About 1:20 · 45.2 MB · 3 of 5 segments are copied`, or why it cannot be. */
export function Estimated({ estimate, trans }: { estimate: Estimate | null; trans: Translator }) {
  if (estimate?.refusal) {
    const { detail, advice } = estimate.refusal;
    return (
      <p class="jpx-Message" role="alert">
        {[detail, advice].filter(Boolean).join(' ')}
      </p>
    );
  }
  return (
    <p class="jpx-Estimate" role="status" title={estimate ? basis(estimate, trans) : ''}>
      {estimate && estimateText(estimate, trans)}
    </p>
  );
}

export function estimateText(estimate: Estimate, trans: Translator): string {
  const { copied, reused, total } = estimate.segments;
  const vram = estimate.vram_mib;
  return [
    trans.__('About %1', duration(Math.max(1, estimate.seconds))),
    bytes(estimate.bytes),
    copied > 0 && trans.__('%1 of %2 segments are copied', copied, total),
    reused > 0 && trans.__('%1 of %2 segments are there already', reused, total),
    vram !== null && trans.__('%1 GB of GPU memory', (vram / 1024).toFixed(1))
  ]
    .filter(Boolean)
    .join(' · ');
}

function basis({ examples }: Estimate, trans: Translator): string {
  return examples > 0
    ? trans.__('From %1 finished exports like this one, if nothing else runs', examples)
    : trans.__('No export like this one has finished here yet');
}
