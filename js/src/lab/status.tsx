/** "2 exports running": the indicator, and the short list that it opens. */

import { Widget } from '@lumino/widgets';
import { render } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';

import { percentOf, stateText } from '../core/format';
import type { Translator } from '../core/host';
import type { Session } from '../core/session';
import type { Entry } from '../core/store';
import { isRunning, nameOf } from '../core/types';
import { useValue } from '../core/hooks';

/** The list is short; the panel has the rest. */
const SHOWN = 8;

export interface StatusOptions {
  session: Session;
  trans: Translator;
  /** Bring a job into view in the panel. */
  show(id: string): void;
}

/** Hidden while nothing is under way, or while `enabled` is false. */
export class StatusItem extends Widget {
  enabled = true;

  constructor(private options: StatusOptions) {
    super();
    this.addClass('jpx-StatusItem');
    options.session.store.active.subscribe(() => this.refresh());
  }

  refresh(): void {
    this.setHidden(!this.enabled || this.options.session.store.active.peek().length === 0);
  }

  protected override onAfterAttach(): void {
    render(<Indicator {...this.options} />, this.node);
  }

  protected override onBeforeDetach(): void {
    render(null, this.node);
  }
}

function Indicator({ session, trans, show }: StatusOptions) {
  const active = useValue(session.store.active);
  const link = useValue(session.store.link);
  const [open, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const running = active.filter(entry => isRunning(entry.job.peek())).length;
  const text = running
    ? trans._n('%1 export running', '%1 exports running', running)
    : trans._n('%1 export queued', '%1 exports queued', active.length);
  return (
    <>
      <button
        ref={button}
        type="button"
        class="jpx-StatusButton"
        aria-haspopup="dialog"
        aria-expanded={open}
        title={trans.__('Show the progress of the exports')}
        onClick={() => setOpen(!open)}
      >
        {link === 'live' ? text : `${text} (${trans.__('not connected')})`}
      </button>
      {open && active.length > 0 && (
        <Popover
          anchor={button.current!}
          label={text}
          close={() => {
            setOpen(false);
            button.current?.focus();
          }}
        >
          {active.slice(0, SHOWN).map(entry => (
            <Line
              key={entry.id}
              entry={entry}
              trans={trans}
              onClick={() => {
                setOpen(false);
                show(entry.id);
              }}
            />
          ))}
          {active.length > SHOWN && (
            <button
              type="button"
              onClick={() => {
                setOpen(false);
                show(active[SHOWN]!.id);
              }}
            >
              {trans.__('%1 more', active.length - SHOWN)}
            </button>
          )}
        </Popover>
      )}
    </>
  );
}

function Line(props: { entry: Entry; trans: Translator; onClick: () => void }) {
  const job = useValue(props.entry.job);
  const progress = useValue(props.entry.progress);
  return (
    <button type="button" data-job={job.id} onClick={props.onClick}>
      <span class="jpx-Name">{nameOf(job)}</span>
      <span>{isRunning(job) ? `${percentOf(progress)} %` : stateText(job, props.trans)}</span>
      {isRunning(job) && <progress max={100} value={progress.percent} aria-hidden="true" />}
    </button>
  );
}

/** Beside its anchor, on the side where there is room; closed by Escape or a click elsewhere. */
function Popover(props: {
  anchor: HTMLElement;
  label: string;
  close: () => void;
  children: preact.ComponentChildren;
}) {
  const element = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const life = new AbortController();
    const { signal } = life;
    const outside = (event: Event) => {
      const target = event.target as Node;
      if (!element.current?.contains(target) && !props.anchor.contains(target)) props.close();
    };
    document.addEventListener('pointerdown', outside, { signal, capture: true });
    document.addEventListener('keydown', e => e.key === 'Escape' && props.close(), { signal });
    // In the top layer: JupyterLab's widgets clip what is drawn inside them.
    element.current?.showPopover?.();
    element.current?.querySelector('button')?.focus();
    return () => life.abort();
  }, []);
  const box = props.anchor.getBoundingClientRect();
  const below = box.top < innerHeight / 2;
  const style = {
    inset: 'auto',
    left: `${Math.max(8, Math.min(box.left, innerWidth - 308))}px`,
    ...(below ? { top: `${box.bottom}px` } : { bottom: `${innerHeight - box.top}px` })
  };
  return (
    <div ref={element} popover="manual" class="jpx-Popover" role="dialog" aria-label={props.label} style={style}>
      {props.children}
    </div>
  );
}
