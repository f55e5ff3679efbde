/** The editor in a cell: its way to the server, its widget's traits, and what is drawn. */

import { render } from 'preact';

import { english, type Host } from '../host';
import type { PanelModel } from '../model';
import { reach } from '../reach';
import type { Core } from '../registry';
import type { Session } from '../session';
import type { Spec } from '../types';
import { Editing } from './editing';
import { Exporter } from './export';
import { same } from './layers';
import { Surface } from './surface';
import { useChanges } from './use';

/** What a notebook keeps of an editor. */
export interface SavedEditor {
  key: string;
  spec: Spec;
  time: number;
  allow_duplicate: boolean;
}

type Traits = 'spec' | 'time' | 'selected' | 'job' | 'allow_duplicate';

/** The part of an editor's anywidget model used here. */
export interface EditorModel extends Omit<PanelModel, 'get' | 'set'> {
  get(name: Traits | 'key' | 'kernel'): unknown;
  set(name: Traits, value: unknown): void;
}

/** The kernel hears of the time at most this often. */
const TIME_MS = 200;

/** Draw an editor into an element; the returned function takes it away. */
export function mountEditor(core: Core, element: HTMLElement, saved: SavedEditor): () => void {
  // A notebook can hold anything.
  if (!Array.isArray(saved.spec?.sources) || !saved.spec.sources[0]) return () => undefined;
  element.classList.add('jpx-Cell');
  element.dataset.lmSuppressShortcuts = 'true';
  const editing = new Editing(saved.spec, saved.time);
  const box = { job: '', allowDuplicate: saved.allow_duplicate };
  let session: Session | null = null;
  let release: (() => void) | undefined;
  let model: EditorModel | undefined;
  let stopSync: (() => void) | undefined;

  const draw = () => {
    if (!session) return;
    const tell = (id: string) => {
      box.job = id;
      if (model) put(model, { job: id });
      draw();
    };
    render(
      <Editor {...{ editing, session }} host={core.host} {...box} onJob={tell} />,
      element
    );
  };
  const sync = (it: EditorModel) => {
    stopSync?.();
    model = it;
    // Each by itself: the others may be ahead of what the model knows.
    const hear: Record<string, () => void> = {
      'change:spec': () => editing.take(it.get('spec') as Spec),
      'change:time': () => editing.setTime(Number(it.get('time'))),
      'change:selected': () => editing.select(String(it.get('selected') ?? '')),
      'change:job': () => {
        box.job = String(it.get('job') ?? '');
        box.allowDuplicate = it.get('allow_duplicate') === true;
        draw();
      }
    };
    for (const take of Object.values(hear)) take();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let known = editing.settled;
    const tell = () => {
      const { settled, layer } = editing;
      const selected = layer?.field ?? '';
      const isNew = settled !== known && !same(settled, it.get('spec'));
      known = settled;
      if (isNew) put(it, { spec: settled, selected, time: editing.time });
      else if (selected !== it.get('selected')) put(it, { selected });
      timer ??= setTimeout(() => {
        timer = undefined;
        if (editing.time !== it.get('time')) put(it, { time: editing.time });
      }, TIME_MS);
    };
    const undo = editing.onChange(tell);
    for (const [name, take] of Object.entries(hear)) it.on(name, take);
    stopSync = () => {
      clearTimeout(timer);
      undo();
      for (const [name, take] of Object.entries(hear)) it.off(name, take);
    };
  };
  const forget = reach(core, saved.key, {
    by(found) {
      release?.();
      session = found;
      release = found.use();
      draw();
    },
    model: found => sync(found as unknown as EditorModel)
  });
  return () => {
    forget();
    stopSync?.();
    render(null, element);
    release?.();
  };
}

interface EditorProps {
  session: Session;
  host: Host;
  editing: Editing;
  job: string;
  allowDuplicate: boolean;
  onJob(id: string): void;
}

function Editor({ session, host, editing, ...rest }: EditorProps) {
  const trans = host.trans ?? english;
  useChanges(editing);
  return (
    <section class="jpx-Editor" aria-label={trans.__('Video editor')}>
      <Surface key={session.transport.kind} {...{ session, trans, editing }} />
      <Exporter {...{ session, host, trans }} {...rest} spec={editing.settled} />
    </section>
  );
}

/** Set traits; a comm that ended with its kernel is no error. */
function put(model: EditorModel, traits: Partial<Record<Traits, unknown>>): void {
  try {
    for (const [name, value] of Object.entries(traits)) model.set(name as Traits, value);
    model.save_changes();
  } catch (error) {
    console.debug('jupyter_export: the kernel of this editor is gone', error);
  }
}
