/** The Export button, and how far its latest export is. */

import { useEffect, useState } from 'preact/hooks';

import { percentOf, progressText, stateText } from '../format';
import { useValue } from '../hooks';
import type { Host, Translator } from '../host';
import { IconButton } from '../icons';
import type { Session } from '../session';
import type { Entry } from '../store';
import { isLive, isRunning, nameOf, type Spec } from '../types';
import { whyNot } from '../why';

export interface ExporterProps {
  session: Session;
  host: Host;
  trans: Translator;
  spec: Spec;
  /** Nobody named the project, whose guard against duplicates would be asked for. */
  allowDuplicate: boolean;
  /** The id of the latest export, or ''. */
  job: string;
  /** A new one was queued. */
  onJob(id: string): void;
}

const freshKey = (): string =>
  [...crypto.getRandomValues(new Uint32Array(4))].map(n => n.toString(16)).join('');

export function Exporter(props: ExporterProps) {
  const { session, trans, spec, job, onJob } = props;
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState('');
  const entries = useValue(session.store.entries);
  const entry = entries.get(job);
  useEffect(() => setTrouble(''), [spec]);
  const submit = async () => {
    setBusy(true);
    setTrouble('');
    try {
      const made = await session.rest.submit(spec, freshKey(), props.allowDuplicate);
      session.store.add([made]);
      onJob(made.id);
    } catch (error) {
      console.error('jupyter_export: the export was not taken', error);
      setTrouble(whyNot(error, trans));
    } finally {
      setBusy(false);
    }
  };
  return (
    <div class="jpx-Exporter">
      <button type="button" class="jpx-Main" disabled={busy} onClick={() => void submit()}>
        {trans.__('Export')}
      </button>
      <span class="jpx-Path" title={spec.output}>
        {spec.output}
      </span>
      {navigator.clipboard && (
        <button
          type="button"
          title={trans.__('As JSON: what jx.editor takes, and what jupyter export run exports')}
          onClick={() => void navigator.clipboard.writeText(JSON.stringify(spec, null, 2))}
        >
          {trans.__('Copy the spec')}
        </button>
      )}
      {trouble && (
        <p class="jpx-Message" role="alert">
          {trouble}
        </p>
      )}
      {entry && <Line key={entry.id} entry={entry} {...props} />}
    </div>
  );
}

/** One job, live. */
function Line({ entry, session, host, trans }: ExporterProps & { entry: Entry }) {
  const job = useValue(entry.job);
  const progress = useValue(entry.progress);
  const [trouble, setTrouble] = useState('');
  const url = job.state === 'completed' ? session.transport.filmUrl(job.id) : null;
  const cancel = () =>
    session.rest.act(job.id, 'cancel').catch(error => setTrouble(whyNot(error, trans)));
  return (
    <div class="jpx-Line" data-job={job.id} data-state={job.state}>
      <div class="jpx-Bar">
        <span>
          {nameOf(job)}: <b role="status">{stateText(job, trans)}</b>
        </span>
        {isRunning(job) && (
          <>
            <progress max={100} value={progress.percent} aria-label={nameOf(job)} />
            <span class="jpx-Percent">{percentOf(progress)} %</span>
          </>
        )}
        {isLive(job) && job.state !== 'publishing' && (
          <IconButton icon="cancel" label={trans.__('Cancel')} onClick={() => void cancel()} />
        )}
        {job.state === 'completed' && host.open && (
          <button type="button" onClick={() => host.open?.(job.output)}>
            {trans.__('Open')}
          </button>
        )}
      </div>
      {isRunning(job) && <div class="jpx-Speed">{progressText(progress, trans)}</div>}
      {job.state === 'queued' && job.waiting_for && (
        <div class="jpx-Waiting">{trans.__('waits for %1', job.waiting_for)}</div>
      )}
      {(job.error || trouble) && (
        <p class="jpx-Message" role="alert">
          {trouble || `${job.error!.detail} ${job.error!.advice}`}
        </p>
      )}
      {url && !/\.(gif|webp)$/i.test(job.output) && <video controls preload="metadata" src={url} />}
      {url && /\.(gif|webp)$/i.test(job.output) && <img src={url} alt={job.output} />}
    </div>
  );
}
