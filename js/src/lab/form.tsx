/** "Export video…": the form, in a dialog of the browser's own. */

import { render } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';

import { Surface } from '../core/editor/surface';
import type { Translator } from '../core/host';
import type { Session } from '../core/session';
import { folderOf, type Facts, type Job } from '../core/types';
import { isRefusal } from '../core/why';
import { isField, PLACES, usePicture, withDrawn } from './drawn';
import { Estimated, useEstimate } from './estimate';
import { FieldError, type Fields, type Kind } from './fields';
import { useValue } from '../core/hooks';
import { Field, Sources } from './inputs';
import { KINDS, offered, type SpecSchema } from './kinds';
import { defaults, freeName, inTheWay, SOURCE_SUFFIXES, specOf } from './spec';
import { InTheWay, Refused, troubleOf, type Trouble } from './trouble';

export interface FormOptions {
  session: Session;
  trans: Translator;
  /** The videos to begin with. */
  sources: string[];
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
  dialog.setAttribute('aria-labelledby', 'jpx-form-title');
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

function Form(props: FormOptions & { close: () => void }) {
  const { session, trans, close } = props;
  const [fields, setFields] = useState<Fields>(() =>
    defaults(props.sources, props.quality, props.notebook)
  );
  // A ref: what was offered late must not replace a name that was typed meanwhile.
  const named = useRef(false);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  const [busy, setBusy] = useState(false);
  const active = useValue(session.store.active);
  const [source = ''] = fields.sources;
  const siblings = useSiblings(folderOf(source), props.list);
  const videos = siblings.filter(path => SOURCE_SUFFIXES.test(path));
  const { facts, why, wait } = useFacts(session, source, trans);
  const kinds = useKinds(session);
  const kind = KINDS[fields.kind];
  const { editing, isShown, wrong, drawn, forget, reshape, refuse } = usePicture(fields, facts, trans);
  // One form, one export: a repeated click must not become a second one.
  const key = useMemo(freshKey, []);
  const set = (change: Partial<Fields>) => {
    setTrouble(null);
    if ('output' in change) named.current = true;
    // To join, there must be a second one.
    const more = change.kind === 'concat' && fields.sources.length < 2;
    if (change.kind || change.sources) forget();
    if (change.aspect) reshape(change.aspect);
    setFields(before => ({
      ...before,
      ...change,
      ...(more && { sources: [...before.sources, ''] })
    }));
  };

  useEffect(() => {
    if (!source) return;
    const taken = new Set([...siblings, ...active.map(entry => entry.job.peek().output)]);
    const another = videos.find(path => path !== source) ?? '';
    setFields(before => ({
      ...before,
      output: named.current ? before.output : freeName(source, before.kind, taken),
      other: before.other || another
    }));
  }, [siblings, fields.kind, source]);

  const duplicate = inTheWay(fields, active.map(entry => entry.job.peek()));

  const make = async () =>
    withDrawn(specOf(fields, kind.needsFacts ? await wait() : null, trans), drawn);
  const estimate = useEstimate(session, make, [fields, facts, drawn]);

  const submit = async (allowDuplicate: boolean) => {
    setTrouble(null);
    setBusy(true);
    try {
      const spec = await make();
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
  const goTo = (id: string) => {
    close();
    props.show(id);
  };

  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    const dialog = form.current?.closest('dialog');
    if (dialog && isShown) dialog.dataset.wide = 'true';
  }, [isShown]);

  const shared = { fields, facts, trans, set, wrong: trouble ? null : wrong };
  const names = kind.inputs(fields).filter(name => !drawn || !PLACES.has(name));
  return (
    <form
      ref={form}
      method="dialog"
      onSubmit={event => {
        event.preventDefault();
        void submit(false);
      }}
    >
      <h2 id="jpx-form-title">{trans.__('Export video')}</h2>
      <div class="jpx-Columns">
      <div class="jpx-Fields">
        <Field name="kind" choices={kinds.map(it => [it, KINDS[it].label(trans)])} {...shared} />
        <Sources many={!kind.isRange} trouble={why} videos={videos} {...shared} />
        {names.map(name => (
          <Field key={name} name={name} {...shared} />
        ))}
        {drawn && (
          <p class="jpx-Drawn">
            {trans.__('As you moved it.')}{' '}
            <button type="button" onClick={forget}>
              {trans.__('Start over')}
            </button>
          </p>
        )}
        {kind.isRange && <Field name="start" {...shared} />}
        {kind.isRange && <Field name="end" {...shared} />}
        <Field name="quality" {...shared} />
        <Field name="output" {...shared} />
        <Field name="project" {...shared} />
      </div>
      {isShown && (
        <div>
          <Surface
            key={`${fields.kind} ${source}`}
            {...{ session, trans, editing }}
            noShape
            noEdit={!kind.isDrawn}
            onTrouble={refuse}
          />
          {wrong && !trouble && !isField(wrong, kind.inputs(fields)) && (
            <p class="jpx-Wrong" role="alert">
              {wrong.text}
            </p>
          )}
        </div>
      )}
      </div>
      {duplicate && !trouble && (
        <InTheWay job={duplicate} session={session} trans={trans} goTo={goTo} />
      )}
      {trouble && <Refused trouble={trouble} trans={trans} goTo={goTo} />}
      {!trouble && <Estimated estimate={estimate} trans={trans} />}
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

/** The files in a folder; none as long as they are not known. */
function useSiblings(folder: string, list: FormOptions['list']): string[] {
  const [paths, setPaths] = useState<string[]>([]);
  useEffect(() => {
    let wanted = true;
    list(folder).then(
      found => wanted && setPaths(found),
      error => console.warn(`jupyter_export: cannot list ${folder || '/'}`, error)
    );
    return () => {
      wanted = false;
    };
  }, [folder]);
  return paths;
}

/** What the server says of a video: its facts, or why there are none. */
function useFacts(session: Session, path: string, trans: Translator) {
  const [facts, setFacts] = useState<Facts | null>(null);
  const [why, setWhy] = useState('');
  const asked = useRef<{ path: string; answer: Promise<Facts> } | null>(null);
  const wait = () => {
    if (asked.current?.path !== path) {
      asked.current = { path, answer: session.rest.probe(path) };
    }
    return asked.current.answer;
  };
  useEffect(() => {
    setFacts(null);
    setWhy('');
    if (!path) return;
    let wanted = true;
    // Not at each letter that is typed.
    const timer = setTimeout(() => {
      wait().then(
        found => wanted && setFacts(found),
        error => {
          console.warn(`jupyter_export: ${path} was not probed`, error);
          if (wanted) setWhy(isRefusal(error) ? error.message : trans.__('The server does not answer.'));
        }
      );
    }, 300);
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  }, [path]);
  return { facts, why, wait };
}

/** The kinds that the server can do. */
function useKinds(session: Session): Kind[] {
  const [kinds, setKinds] = useState<Kind[]>(['clip', 'concat', 'framing']);
  useEffect(() => {
    session.rest.specSchema<SpecSchema>().then(
      schema => setKinds(offered(schema)),
      error => console.warn('jupyter_export: the kinds of exports are not known', error)
    );
  }, []);
  return kinds;
}
