/** What an unfolded row tells: encoder and why, segments, error and advice, log, the film itself. */

import { useEffect, useState } from 'preact/hooks';

import { usePanel } from './context';
import { bytes, clock, duration, segmentsText } from './format';
import type { Translator } from './host';
import { Player } from './player';
import type { Entry } from './store';
import { isRunning, type Job } from './types';

export function Details({ entry }: { entry: Entry }) {
  const { trans, host } = usePanel();
  const job = entry.job.value;
  const segments = entry.segments.value;
  const facts: [string, string | false | null | undefined][] = [
    [trans.__('Output'), job.output],
    [trans.__('Source'), sourceText(job, trans)],
    [trans.__('Encoder'), job.encoder && encoderText(job.encoder)],
    [trans.__('GPU memory'), job.gpu_memory && gpuMemoryText(job.gpu_memory, trans)],
    [trans.__('Segments'), segments.total > 0 && segmentsText(segments, trans)],
    [trans.__('Result'), resultText(job, trans)],
    [trans.__('Attempt'), job.attempt > 1 && String(job.attempt)],
    [trans.__('Submitted'), clock(job.created_at)],
    [trans.__('Started'), job.started_at && clock(job.started_at)],
    [trans.__('Finished'), job.finished_at && clock(job.finished_at)]
  ];
  return (
    <div class="jpx-Details">
      {job.state === 'completed' && <Player key={job.attempt} job={job} />}
      <dl>
        {facts.map(
          ([name, value]) =>
            value && (
              <>
                <dt>{name}</dt>
                <dd>{value}</dd>
              </>
            )
        )}
      </dl>
      {job.notes.map(note => (
        <p class="jpx-Note">{note}</p>
      ))}
      <div class="jpx-Links">
        {job.state === 'completed' && host.open && (
          <button type="button" onClick={() => host.open?.(job.output)}>
            {trans.__('Open')}
          </button>
        )}
        {job.state === 'completed' && host.reveal && (
          <button type="button" onClick={() => host.reveal?.(job.output)}>
            {trans.__('Reveal in file browser')}
          </button>
        )}
        <Log job={job} />
      </div>
    </div>
  );
}

/** Some reasons begin with the name. */
const encoderText = ({ name, reason }: NonNullable<Job['encoder']>): string =>
  reason.startsWith(name) ? reason : `${name}: ${reason}`;

/** A GB of memory is 1024 MiB, as wherever the server tells of it. */
function gpuMemoryText(
  { reserved_mib, peak_mib }: NonNullable<Job['gpu_memory']>,
  trans: Translator
): string {
  const gigabytes = (mib: number) => `${(mib / 1024).toFixed(1)} GB`;
  const reserved = gigabytes(reserved_mib);
  return peak_mib === null
    ? trans.__('%1 reserved', reserved)
    : trans.__('at most %1 used, %2 reserved', gigabytes(peak_mib), reserved);
}

function sourceText({ spec }: Job, trans: Translator): string | null {
  const source = spec?.sources?.[0];
  if (!source) return null;
  const end = source.end ?? null;
  const range =
    source.start || end !== null ? ` (${source.start ?? 0} s – ${end === null ? '…' : `${end} s`})` : '';
  const others = (spec?.sources.length ?? 1) - 1;
  return source.path + range + (others > 0 ? ` ${trans._n('and %1 more', 'and %1 more', others)}` : '');
}

function resultText({ result }: Job, trans: Translator): string | null {
  if (!result) return null;
  const parts = [
    result.bytes !== undefined && bytes(result.bytes),
    result.duration !== undefined && duration(result.duration),
    result.frames !== undefined && trans.__('%1 frames', result.frames.toLocaleString())
  ].filter(Boolean);
  return parts.join(' · ') || null;
}

function Log({ job }: { job: Job }) {
  const { session, trans, attempt } = usePanel();
  const [text, setText] = useState<string | null>(null);
  const [open, setOpen] = useState(false);
  useEffect(() => {
    if (!open) return;
    let wanted = true;
    const load = () =>
      attempt(trans.__('Show the log'), async () => {
        const log = await session.rest.log(job.id);
        if (wanted) setText(log);
      });
    load();
    const timer = isRunning(job) ? setInterval(load, 3000) : undefined;
    return () => {
      wanted = false;
      clearInterval(timer);
    };
  }, [open, job.id, job.state]);
  return (
    <>
      <button type="button" aria-expanded={open} onClick={() => setOpen(!open)}>
        {open ? trans.__('Hide log') : trans.__('Show log')}
      </button>
      {open && text !== null && (
        <pre class="jpx-Log" tabIndex={0}>
          {text || trans.__('The log is empty.')}
        </pre>
      )}
    </>
  );
}
