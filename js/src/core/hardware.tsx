/** What the server's machine can encode with, and the reason for each no; folded until asked for. */

import { useSignal } from '@preact/signals';

import { usePanel } from './context';

/** One encoder, NVIDIA's decoder or torch, as `GET hardware` tells it. */
interface Tried {
  name: string;
  usable: boolean;
  reason: string;
  detail?: string;
  family?: string;
}

export interface HardwareReport {
  encoders: Tried[];
  nvdec: Tried;
  torch: { version: string | null; cuda: string | null; usable: boolean; reason: string };
  gpus: { name: string; driver: string | null }[];
  auto: { name: string | null; reason: string };
  probed_at: string;
}

interface Verdict {
  names: string[];
  usable: boolean;
  reason: string;
  detail: string;
}

/** Encoders of one family that share a verdict share a line; what can be used comes first. */
export function verdicts(report: HardwareReport): Verdict[] {
  const lines = new Map<string, Verdict>();
  const torch = { ...report.torch, name: 'torch', detail: report.torch.version ?? '' };
  for (const tried of [...report.encoders, report.nvdec, torch] as Tried[]) {
    const key = [tried.family ?? tried.name, tried.usable, tried.reason].join('\n');
    const line = lines.get(key);
    if (line) line.names.push(tried.name);
    else lines.set(key, { names: [tried.name], detail: '', ...tried });
  }
  return [...lines.values()].sort((a, b) => Number(b.usable) - Number(a.usable));
}

export function Hardware() {
  const { session, trans, attempt } = usePanel();
  const report = useSignal<HardwareReport | null>(null);
  const busy = useSignal(false);
  const load = (refresh: boolean) => {
    busy.value = true;
    attempt(trans.__('Show the hardware'), async () => {
      try {
        report.value = await session.rest.hardware(refresh);
      } finally {
        busy.value = false;
      }
    });
  };
  return (
    <details
      class="jpx-Hardware"
      onToggle={event => event.currentTarget.open && !report.value && !busy.value && load(false)}
    >
      <summary>{trans.__('Hardware')}</summary>
      {report.value ? (
        <>
          <ul>
            {verdicts(report.value).map(line => (
              <li key={line.names.join()} data-usable={line.usable} title={line.detail}>
                <b>{line.names.join(', ')}</b>{' '}
                <span>
                  {line.usable ? trans.__('can be used') : trans.__('not usable: %1', line.reason)}
                </span>
              </li>
            ))}
          </ul>
          <p>
            {trans.__(
              'GPUs: %1',
              report.value.gpus.map(gpu => gpu.name).join(', ') || trans.__('none found')
            )}
          </p>
          <button type="button" disabled={busy.value} onClick={() => load(true)}>
            {busy.value ? trans.__('Trying…') : trans.__('Try again')}
          </button>
        </>
      ) : (
        <p role="status">{busy.value && trans.__('Trying the encoders…')}</p>
      )}
    </details>
  );
}
