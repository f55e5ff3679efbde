/** One job: what it is, how far it is, and what can be done with it. */

import { useComputed } from '@preact/signals';
import { Component } from 'preact';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';

import { usePanel } from './context';
import { Details } from './details';
import { clock, percentOf, progressText, stateText } from './format';
import { IconButton, type IconName } from './icons';
import { Picture } from './picture';
import type { Action } from './rest';
import type { Entry } from './store';
import { isLive, isRunning, nameOf, type Job } from './types';

function Row({ entry }: { entry: Entry }) {
  const { trans, selected, unfolded } = usePanel();
  const job = entry.job.value;
  const name = nameOf(job);
  const isSelected = useComputed(() => selected.value === entry.id).value;
  const isUnfolded = useComputed(() => unfolded.value.has(entry.id)).value;
  const element = useRef<HTMLLIElement>(null);
  useEffect(() => {
    if (isSelected) element.current?.scrollIntoView?.({ block: 'nearest' });
  }, [isSelected]);
  const focused = useRef<Element | null>(null);
  useLayoutEffect(() => {
    // The button that was pressed has gone with the state that offered it: stay in this row.
    if (focused.current?.isConnected !== false) return;
    focused.current = null;
    if (document.activeElement === document.body) element.current?.focus();
  });
  const toggle = () => {
    const next = new Set(unfolded.peek());
    if (!next.delete(job.id)) next.add(job.id);
    unfolded.value = next;
    selected.value = job.id;
  };
  return (
    <li
      ref={element}
      class="jpx-Row"
      data-job={job.id}
      data-state={job.paused && isLive(job) ? 'paused' : job.state}
      data-selected={isSelected || undefined}
      tabIndex={0}
      aria-label={`${name}, ${stateText(job, trans)}`}
      onClick={() => (selected.value = job.id)}
      onFocusIn={event => (focused.current = event.target as Element)}
      onFocusOut={event => event.relatedTarget && (focused.current = null)}
      onKeyDown={event => {
        if (event.target !== event.currentTarget) return;
        if (event.key === 'Enter' || event.key === ' ') {
          event.preventDefault();
          toggle();
        }
      }}
    >
      <Picture job={job} />
      <div class="jpx-Main">
        <div class="jpx-Title">
          <span class="jpx-Name" title={job.output}>
            {name}
          </span>
          <Actions job={job} isUnfolded={isUnfolded} toggle={toggle} />
        </div>
        <Meta job={job} />
        {isRunning(job) && <Bar entry={entry} name={name} />}
        {job.state === 'queued' && <Waiting entry={entry} />}
        {job.error && (
          <p class="jpx-Error">
            {job.error.detail} {job.error.advice && <span>{job.error.advice}</span>}
          </p>
        )}
      </div>
      {isUnfolded && <Details entry={entry} />}
    </li>
  );
}

/** Drawn again only when its own signals change, whatever happens around it. */
export class JobRow extends Component<{ entry: Entry }> {
  override shouldComponentUpdate({ entry }: { entry: Entry }) {
    return entry !== this.props.entry;
  }
  render({ entry }: { entry: Entry }) {
    return <Row entry={entry} />;
  }
}

function Meta({ job }: { job: Job }) {
  const { session, trans } = usePanel();
  const complete = useComputed(
    () => session.store.projects.value.get(job.project ?? '')?.complete
  ).value;
  return (
    <div class="jpx-Meta">
      <span class="jpx-State">{stateText(job, trans)}</span>
      <span>{job.kind}</span>
      {job.project !== null && (
        <span class="jpx-Project" data-complete={complete || undefined} title={trans.__('Project')}>
          {job.project}
          {complete && <b>{` ✓ ${trans.__('complete')}`}</b>}
        </span>
      )}
      {job.encoder && <span title={job.encoder.reason}>{job.encoder.name}</span>}
      {job.finished_at && <span>{clock(job.finished_at)}</span>}
    </div>
  );
}

function Bar({ entry, name }: { entry: Entry; name: string }) {
  const { trans } = usePanel();
  const progress = entry.progress.value;
  const percent = percentOf(progress);
  const reason = entry.job.value.waiting_for;
  return (
    <>
      <div class="jpx-Bar">
        <progress max={100} value={progress.percent} aria-label={`${name}: ${percent} %`} />
        <span class="jpx-Percent">{percent} %</span>
      </div>
      <div class="jpx-Speed">{progressText(progress, trans)}</div>
      {reason && <div class="jpx-Speed">{trans.__('waits for %1', reason)}</div>}
    </>
  );
}

/** Only who waits needs to know the line; the other rows are not drawn again when it moves. */
function Waiting({ entry }: { entry: Entry }) {
  const { session, trans, attempt } = usePanel();
  const job = entry.job.value;
  const line = session.store.active.value.filter(e => e.job.value.state === 'queued');
  const place = line.indexOf(entry);
  // Equal priorities go by age: only beyond all others is a place sure.
  const move = (label: string, step: 1 | -1) => {
    // Not beside the first or last shown: the line that is shown may be about to change.
    const others = line.filter(e => e !== entry).map(e => e.job.peek().priority);
    const beyond = step > 0 ? Math.max(...others) + 1 : Math.min(...others) - 1;
    const priority = Math.max(-1000, Math.min(1000, beyond));
    attempt(label, () => session.rest.setPriority(job.id, priority));
  };
  const [front, end] = [trans.__('To the front of the queue'), trans.__('To the end of the queue')];
  const parts = [
    job.queue_position !== null && trans.__('Place %1 in the queue', job.queue_position),
    job.waiting_for && trans.__('waits for %1', job.waiting_for)
  ].filter(Boolean);
  return (
    <div class="jpx-Waiting">
      <span>{parts.join(' · ')}</span>
      {line.length > 1 && (
        <>
          <IconButton
            icon="up"
            label={front}
            disabled={place <= 0}
            onClick={() => move(front, 1)}
          />
          <IconButton
            icon="down"
            label={end}
            disabled={place === line.length - 1}
            onClick={() => move(end, -1)}
          />
        </>
      )}
    </div>
  );
}

function Actions({ job, isUnfolded, toggle }: { job: Job; isUnfolded: boolean; toggle: () => void }) {
  const { session, trans, attempt } = usePanel();
  const live = isLive(job) && !job.cancel_requested && job.state !== 'publishing';
  const finished = job.state === 'failed' || job.state === 'cancelled';
  const button = (icon: IconName, label: string, action: Action) => (
    <IconButton
      icon={icon}
      label={label}
      onClick={() => attempt(label, () => session.rest.act(job.id, action))}
    />
  );
  return (
    <div class="jpx-Actions">
      {live && job.paused && button('play', trans.__('Resume'), 'resume')}
      {live && !job.paused && button('pause', trans.__('Pause'), 'pause')}
      {live && button('cancel', trans.__('Cancel'), 'cancel')}
      {finished && button('retry', trans.__('Retry'), 'retry')}
      {job.state === 'completed' && !isUnfolded && (
        <IconButton icon="play" label={trans.__('Play')} onClick={toggle} />
      )}
      <IconButton
        icon="more"
        label={trans.__('Details')}
        pressed={isUnfolded}
        onClick={toggle}
      />
    </div>
  );
}
