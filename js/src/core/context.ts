/** What every part of one panel needs: its session, its words, its state. */

import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import type { Signal } from '@preact/signals';

import type { Host, Translator } from './host';
import type { Session } from './session';

export interface PanelContext {
  session: Session;
  host: Host;
  trans: Translator;
  /** The selected job's id, or ''. */
  selected: Signal<string>;
  /** The rows that are unfolded. */
  unfolded: Signal<ReadonlySet<string>>;
  /** Do what a button says; a refusal is shown in the panel. */
  attempt(what: string, work: () => Promise<unknown>): void;
}

export const Context = createContext<PanelContext>(null as unknown as PanelContext);

export const usePanel = (): PanelContext => useContext(Context);
