/** "Export video…": the form, in a dialog of the browser's own. */

import { render } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';

import { percentOf } from '../core/format';
import type { Translator } from '../core/host';
import type { Session } from '../core/session';
import { Refusal } from '../core/transport';
import { nameOf, type Job } from '../core/types';
import { useValue } from './hooks';
import {
  ASPECTS,
  defaults,
  FieldError,
  freeName,
  inTheWay,
  specOf,
  type Facts,
  type Fields,
  type Kind,
  type Place
} from './spec';

export interface FormOptions {
  session: Session;
  trans: Translator;
  /** The video to begin with, or ''. */
  source: string;
  /** Names the project where the video's folder does not. */
  notebook: string;
  quality: string;
  /** The files in a folder of the server's root, with their paths. */
  list(folder: string): Promise<string[]>;
  /** Bring a job into view in the panel. */
  show(id: string): void;
  /** Told of the new job after the form has closed. */
  submitted(job: Job): void;
}

/** Open the form; it closes itself. */
export function openForm(options: FormOptions): void {
  const dialog = document.createElement('dialog');
  dialog.className = 'jpx-Dialog';
  // Keys typed here are not JupyterLab's shortcuts.
  dialog.dataset.lmSuppressShortcuts = 'true';
  dialog.setAttribute('aria-label', options.trans.__('Export video'));
  document.body.append(dialog);
  dialog.addEventListener('close', () => {
    render(null, dialog);
    dialog.remove();
  });
  render(<Form {...options} close={() => dialog.close()} />, dialog);
  dialog.showModal();
}

const freshKey = (): string =>
  [...crypto.getRandomValues(new Uint32Array(4))].map(n => n.toString(16)).join('');

interface Trouble {
  text: string;
  /** The job in the way. */
  job: string | null;
  percent: number | null;
  duplicate: boolean;
}

function Form(props: FormOptions & { close: () => void }) {
  const { session, trans, close } = props;
  const [fields, setFields] = useState<Fields>(() =>
    defaults(props.source, 'clip', new Set(), props.quality, props.notebook)
  );
  const [taken, setTaken] = useState<ReadonlySet<string>>(new Set());
  const [named, setNamed] = useState(false);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  const [busy, setBusy] = useState(false);
  const [facts, setFacts] = useState<Facts>({ width: null, height: null, duration: null });
  const active = useValue(session.store.active);
  // One form, one export: a repeated click must not become a second one.
  const key = useMemo(freshKey, []);
  const set = (change: Partial<Fields>) => {
    setTrouble(null);
    setFields(before => ({ ...before, ...change }));
  };

  useEffect(() => {
    let wanted = true;
    const folder = props.source.slice(0, Math.max(0, props.source.lastIndexOf('/')));
    props.list(folder).then(
      paths => wanted && setTaken(new Set(paths)),
      error => console.warn(`jupyter_export: cannot list ${folder || '/'}`, error)
    );
    return () => {
      wanted = false;
    };
  }, []);
  useEffect(() => {
    if (named || !fields.source) return;
    const outputs = new Set([...taken, ...active.map(entry => entry.job.peek().output)]);
    setFields(before => ({ ...before, output: freeName(before.source, before.kind, outputs) }));
  }, [taken, fields.kind, fields.source, named]);

  const duplicate = inTheWay(fields, active.map(entry => entry.job.peek()));

  const submit = async (allowDuplicate: boolean) => {
    setTrouble(null);
    setBusy(true);
    try {
      const spec = specOf(fields, facts, trans);
      const job = await session.rest.submit(spec, key, allowDuplicate);
      close();
      props.submitted(job);
    } catch (error) {
      setTrouble(troubleOf(error, trans));
      if (!(error instanceof FieldError)) {
        console.error('jupyter_export: the export was not taken', error);
      }
    } finally {
      setBusy(false);
    }
  };

  const text = (name: keyof Fields, label: string, more: Record<string, unknown> = {}) => (
    <>
      <label for={`jpx-form-${name}`}>{label}</label>
      <input
        id={`jpx-form-${name}`}
        name={name}
        value={fields[name]}
        onInput={event => set({ [name]: event.currentTarget.value })}
        {...more}
      />
    </>
  );
  const choice = (name: keyof Fields, label: string, choices: [string, string][]) => (
    <>
      <label for={`jpx-form-${name}`}>{label}</label>
      <select
        id={`jpx-form-${name}`}
        name={name}
        value={fields[name]}
        onChange={event => set({ [name]: event.currentTarget.value })}
      >
        {choices.map(([value, words]) => (
          <option value={value}>{words}</option>
        ))}
      </select>
    </>
  );
  const places: [Place, string][] = [
    ['start', trans.__('Left or top')],
    ['middle', trans.__('Middle')],
    ['end', trans.__('Right or bottom')]
  ];
  const kinds: [Kind, string][] = [
    ['clip', trans.__('Clip: a part of the video')],
    ['framing', trans.__('Framing: another shape, cropped')]
  ];
  return (
    <form
      method="dialog"
      onSubmit={event => {
        event.preventDefault();
        void submit(false);
      }}
    >
      <h2>{trans.__('Export video')}</h2>
      <div class="jpx-Fields">
        {text('source', trans.__('Video'), { required: true, readOnly: Boolean(props.source) })}
        {choice('kind', trans.__('Kind'), kinds)}
        {text('start', trans.__('From'), { placeholder: trans.__('the beginning'), inputMode: 'decimal' })}
        {text('end', trans.__('To'), {
          placeholder: facts.duration
            ? trans.__('the end (%1 s)', facts.duration.toFixed(1))
            : trans.__('the end'),
          inputMode: 'decimal'
        })}
        {fields.kind === 'framing' && (
          <>
            {choice('aspect', trans.__('Shape'), ASPECTS.map(a => [a, a]))}
            {choice('from', trans.__('Frame at first'), places)}
            {choice('to', trans.__('Frame at last'), places)}
            <Size facts={facts} change={setFacts} trans={trans} />
          </>
        )}
        {choice('quality', trans.__('Quality'), [
          ['fast', trans.__('Fast: a preview')],
          ['balanced', trans.__('Balanced')],
          ['quality', trans.__('High: for further editing')]
        ])}
        {text('output', trans.__('New file'), {
          required: true,
          onInput: (event: Event) => {
            setNamed(true);
            set({ output: (event.currentTarget as HTMLInputElement).value });
          }
        })}
        {text('project', trans.__('Project'), { placeholder: trans.__('none') })}
      </div>
      {fields.source && <Probe session={session} path={fields.source} tell={setFacts} />}
      {duplicate && !trouble && <InTheWay job={duplicate} {...props} />}
      {trouble && (
        <p class="jpx-Message" role="alert">
          {trouble.text}
          {trouble.percent !== null && ` (${trouble.percent} %)`}{' '}
          {trouble.job && (
            <button
              type="button"
              onClick={() => {
                close();
                props.show(trouble.job!);
              }}
            >
              {trans.__('Show it')}
            </button>
          )}
        </p>
      )}
      <div class="jpx-Footer">
        <button type="button" onClick={close}>
          {trans.__('Cancel')}
        </button>
        {(trouble?.duplicate || (duplicate && duplicate.output !== fields.output)) && (
          <button type="button" disabled={busy} onClick={() => void submit(true)}>
            {trans.__('Export anyway')}
          </button>
        )}
        <button type="submit" disabled={busy}>
          {trans.__('Export')}
        </button>
      </div>
    </form>
  );
}

/** "already in progress, 41 %", with a link: told before anything is asked of the server. */
function InTheWay({ job, session, trans, show, close }: FormOptions & { job: Job; close: () => void }) {
  const entry = session.store.entry(job.id);
  return (
    <p class="jpx-Message" role="status">
      {entry ? <Percent entry={entry} trans={trans} job={job} /> : nameOf(job)}{' '}
      <button
        type="button"
        onClick={() => {
          close();
          show(job.id);
        }}
      >
        {trans.__('Show it')}
      </button>
    </p>
  );
}

function Percent(props: {
  entry: NonNullable<ReturnType<Session['store']['entry']>>;
  trans: Translator;
  job: Job;
}) {
  const progress = useValue(props.entry.progress);
  const { trans, job } = props;
  return (
    <span>{trans.__('%1 is already in progress, %2 %.', nameOf(job), percentOf(progress))}</span>
  );
}

/** Width and height of the source, to be typed where the browser cannot play the file. */
function Size(props: { facts: Facts; change: (facts: Facts) => void; trans: Translator }) {
  const { facts, change, trans } = props;
  const number = (name: 'width' | 'height', label: string) => (
    <input
      type="number"
      min={16}
      aria-label={label}
      placeholder={label}
      value={facts[name] ?? ''}
      onInput={event => change({ ...facts, [name]: event.currentTarget.valueAsNumber || null })}
    />
  );
  return (
    <>
      <label>{trans.__('Source size')}</label>
      <span class="jpx-Pair">
        {number('width', trans.__('Width'))}×{number('height', trans.__('Height'))}
      </span>
    </>
  );
}

/** Lets the browser look into the file; draws nothing. */
function Probe(props: { session: Session; path: string; tell: (facts: Facts) => void }) {
  const latest = useRef(props.tell);
  latest.current = props.tell;
  useEffect(() => {
    const url = props.session.transport.fileUrl(props.path);
    if (!url) return;
    const video = document.createElement('video');
    const life = new AbortController();
    video.preload = 'metadata';
    video.addEventListener(
      'loadedmetadata',
      () => {
        const { videoWidth, videoHeight, duration } = video;
        latest.current({
          width: videoWidth || null,
          height: videoHeight || null,
          duration: Number.isFinite(duration) ? duration : null
        });
      },
      { signal: life.signal }
    );
    // Not at each letter that is typed.
    const timer = setTimeout(() => (video.src = url), 300);
    return () => {
      clearTimeout(timer);
      life.abort();
      video.removeAttribute('src');
      video.load();
    };
  }, [props.path]);
  return null;
}

function troubleOf(error: unknown, trans: Translator): Trouble {
  if (error instanceof FieldError) {
    return { text: error.message, job: null, percent: null, duplicate: false };
  }
  // By its shape: the error may come from the core of another bundle.
  if (error instanceof Error && 'problem' in error) {
    const { problem, advice, job } = error as Refusal;
    const progress = problem.progress as { percent?: number } | undefined;
    return {
      text: [error.message, advice].filter(Boolean).join(' '),
      job,
      percent: progress?.percent === undefined ? null : Math.floor(progress.percent),
      duplicate: problem.type === 'duplicate-job'
    };
  }
  return { text: trans.__('The server does not answer.'), job: null, percent: null, duplicate: false };
}
