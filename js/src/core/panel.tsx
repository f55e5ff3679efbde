/** The panel: the same in the sidebar, in a cell and in a page that was opened again. */

import { effect, signal, useComputed, useSignal, type Signal } from '@preact/signals';
import { render } from 'preact';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';

import { Context, usePanel, type PanelContext } from './context';
import { stateText } from './format';
import { Hardware } from './hardware';
import { english, type Host } from './host';
import { IconButton } from './icons';
import { JobRow } from './row';
import type { Session } from './session';
import { Single } from './single';
import type { Entry } from './store';
import { Refusal } from './transport';
import { nameOf } from './types';

type Filter = 'all' | 'active' | 'recent';

export interface PanelOptions {
  session: Session;
  host: Host;
  /** Show only this project to begin with. */
  project?: string;
  selected?: string;
  /** Show this job by itself; `saved` is what to say where the server does not know it. */
  only?: { id: string; saved: string };
  onSelect?: (id: string) => void;
  /** Inside a notebook, keys on the panel must not reach the notebook's shortcuts. */
  ownKeys?: boolean;
}

export interface Mounted {
  /** Bring a job into view. */
  select(id: string): void;
  dispose(): void;
}

/** Draw a panel into an element, and keep the session's connection while it is there. */
export function mountPanel(element: HTMLElement, options: PanelOptions): Mounted {
  const { session, host } = options;
  const release = session.use();
  const selected = signal(options.selected ?? '');
  const unfolded = signal<ReadonlySet<string>>(new Set());
  const trouble = signal('');
  const trans = host.trans ?? english;
  const context: PanelContext = {
    session,
    host,
    trans,
    selected,
    unfolded,
    attempt(what, work) {
      trouble.value = '';
      work().catch((error: unknown) => {
        console.error(`jupyter_export: ${what} failed`, error);
        const advice = error instanceof Refusal ? error.advice : '';
        const detail =
          error instanceof Refusal ? error.message : trans.__('The server does not answer.');
        trouble.value = [`${what}:`, detail, advice].filter(Boolean).join(' ');
      });
    }
  };
  if (options.ownKeys) element.dataset.lmSuppressShortcuts = 'true';
  let told = selected.peek();
  const stopTelling = effect(() => {
    if (selected.value === told) return;
    told = selected.value;
    options.onSelect?.(told);
  });
  render(
    <Context.Provider value={context}>
      {options.only ? (
        <Single {...options.only} />
      ) : (
        <Panel trouble={trouble} project={options.project ?? ''} />
      )}
    </Context.Provider>,
    element
  );
  return {
    select(id) {
      told = id;
      selected.value = id;
    },
    dispose() {
      stopTelling();
      render(null, element);
      release();
    }
  };
}

function Panel(props: { trouble: Signal<string>; project: string }) {
  const { session, trans, selected } = usePanel();
  const { store } = session;
  const filter = useSignal<Filter>('all');
  const project = useSignal(props.project);
  const shown = useComputed(() => {
    const inProject = ({ job }: Entry) => !project.value || job.value.project === project.value;
    return [
      ...(filter.value === 'recent' ? [] : store.active.value),
      ...(filter.value === 'active' ? [] : store.finished.value)
    ].filter(inProject);
  });
  // A job that somebody points at must be visible, whatever was filtered before.
  useEffect(
    () =>
      selected.subscribe(id => {
        if (!id || shown.peek().some(entry => entry.id === id) || !store.entry(id)) return;
        filter.value = 'all';
        project.value = '';
      }),
    []
  );
  return (
    <section class="jpx-Panel" aria-label={trans.__('Video exports')}>
      <Header />
      {store.link.value === 'offline' && store.reason.value && (
        <div class="jpx-Trouble" role="alert">
          <span>{trans.__(store.reason.value)}</span>
        </div>
      )}
      <Filters filter={filter} project={project} />
      {props.trouble.value && (
        <div class="jpx-Trouble" role="alert">
          <span>{props.trouble.value}</span>
          <IconButton
            icon="cancel"
            label={trans.__('Dismiss')}
            onClick={() => (props.trouble.value = '')}
          />
        </div>
      )}
      {session.store.notice.value && (
        <div class="jpx-Trouble" role="status">
          <span>{session.store.notice.value}</span>
        </div>
      )}
      <List entries={shown.value} />
      <Hardware />
      <Announcer />
    </section>
  );
}

function Header() {
  const { session, trans, host, attempt } = usePanel();
  const { store, rest } = session;
  const link = store.link.value;
  const words = {
    connecting: trans.__('Connecting'),
    live: trans.__('Live'),
    reconnecting: trans.__('Reconnecting'),
    offline: trans.__('Offline')
  };
  const via = session.transport.kind === 'relay' ? trans.__('through the kernel') : '';
  const stopped = store.queue.value !== 'running';
  return (
    <header class="jpx-Header">
      <span class="jpx-Link" data-link={link} role="status" title={store.reason.value || via}>
        {words[link]}
        {via && <small> {via}</small>}
      </span>
      {stopped && (
        <span class="jpx-Queue">
          {store.queue.value === 'paused' ? trans.__('Queue paused') : trans.__('Queue drains')}
        </span>
      )}
      <span class="jpx-Gap" />
      {stopped ? (
        <IconButton
          icon="play"
          label={trans.__('Let the queue go on')}
          onClick={() => attempt(trans.__('Resume the queue'), () => rest.setQueue('resume'))}
        />
      ) : (
        <IconButton
          icon="pause"
          label={trans.__('Pause the queue: running exports finish, nothing starts')}
          onClick={() => attempt(trans.__('Pause the queue'), () => rest.setQueue('pause'))}
        />
      )}
      {host.newExport && (
        <IconButton icon="add" label={trans.__('Export video…')} onClick={host.newExport} />
      )}
    </header>
  );
}

function Filters({ filter, project }: { filter: Signal<Filter>; project: Signal<string> }) {
  const { session, trans } = usePanel();
  const { store } = session;
  const projects = store.projects.value;
  const choices: [Filter, string][] = [
    ['all', trans.__('All')],
    ['active', trans.__('Active (%1)', store.active.value.length)],
    ['recent', trans.__('Recent')]
  ];
  return (
    <div class="jpx-Filters">
      <div class="jpx-Choices" role="group" aria-label={trans.__('Show')}>
        {choices.map(([value, label]) => (
          <button
            type="button"
            aria-pressed={filter.value === value}
            onClick={() => (filter.value = value)}
          >
            {label}
          </button>
        ))}
      </div>
      {(projects.size > 0 || project.value) && (
        <select
          aria-label={trans.__('Project')}
          value={project.value}
          onChange={event => (project.value = event.currentTarget.value)}
        >
          <option value="">{trans.__('All projects')}</option>
          {[...new Set([...projects.keys(), ...(project.value ? [project.value] : [])])].map(name => (
            <option value={name}>
              {projects.get(name)?.complete ? trans.__('%1 (complete)', name) : name}
            </option>
          ))}
        </select>
      )}
    </div>
  );
}

const MOVES: Record<string, (at: number, last: number) => number> = {
  ArrowDown: (at, last) => Math.min(last, at + 1),
  ArrowUp: at => Math.max(0, at - 1),
  Home: () => 0,
  End: (_, last) => last
};

function List({ entries }: { entries: Entry[] }) {
  const { session, trans, attempt } = usePanel();
  const { store } = session;
  const more = useSignal(true);
  const list = useRef<HTMLUListElement>(null);
  const root = list.current?.getRootNode() as Document | ShadowRoot | undefined;
  const focused = root?.activeElement;
  useLayoutEffect(() => {
    // Rows that change places are taken out and put back, which takes the focus from them.
    if (focused instanceof HTMLElement && list.current?.contains(focused)) {
      if (root?.activeElement !== focused) focused.focus({ preventScroll: true });
    }
  });
  const older = () =>
    attempt(trans.__('Show older exports'), async () => {
      const last = store.finished.peek().at(-1);
      const jobs = last ? await session.rest.older(oldestOf(store.entries.peek().values())) : [];
      store.add(jobs);
      more.value = jobs.length > 0;
    });
  if (entries.length === 0) {
    return (
      <p class="jpx-Empty">
        {store.loaded.value ? trans.__('No exports here.') : trans.__('Waiting for the server…')}
      </p>
    );
  }
  return (
    <ul
      ref={list}
      class="jpx-List"
      onKeyDown={event => {
        const move = MOVES[event.key];
        const rows = [...event.currentTarget.querySelectorAll<HTMLElement>(':scope > .jpx-Row')];
        const at = rows.indexOf(event.target as HTMLElement);
        if (!move || at < 0) return;
        event.preventDefault();
        rows[move(at, rows.length - 1)]?.focus();
      }}
    >
      {entries.map(entry => (
        <JobRow key={entry.id} entry={entry} />
      ))}
      {store.entries.value.size >= 200 && more.value && (
        <li class="jpx-Older">
          <button type="button" onClick={older}>
            {trans.__('Show older exports')}
          </button>
        </li>
      )}
    </ul>
  );
}

function oldestOf(entries: Iterable<Entry>): string {
  let oldest = { id: '', created_at: '~' };
  for (const { job } of entries) {
    const { id, created_at } = job.peek();
    if (created_at < oldest.created_at) oldest = { id, created_at };
  }
  return oldest.id;
}

/** Says state changes to screen readers, and nothing else: progress would never stop talking. */
function Announcer() {
  const { session, trans } = usePanel();
  const text = useSignal('');
  useEffect(
    () =>
      session.store.onChange(changes => {
        const words = changes
          .filter(c => !c.late && c.before?.state !== c.job.state)
          .map(({ job }) => `${nameOf(job)}: ${stateText(job, trans)}`);
        if (words.length) text.value = words.join('. ');
      }),
    [session]
  );
  return (
    <div class="jpx-Announcer" aria-live="polite">
      {text.value}
    </div>
  );
}
