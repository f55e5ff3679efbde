/** What is edited and what is rendered of it, in components. */

import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';

import type { Session } from '../session';
import type { Wanted } from '../rest';
import type { Editing } from './editing';
import { Frames, type Frame } from './frames';

/** Draw again at each change. */
export function useChanges(editing: Editing): void {
  const [, count] = useState(0);
  useLayoutEffect(() => editing.onChange(() => count(n => n + 1)), [editing]);
}

export interface Rendered {
  /** The latest one; it may be of an earlier wish. */
  frame: Frame | null;
  /** Why the latest wish was not fulfilled. */
  error: unknown;
  again(): void;
}

/** The frame that is wanted, as soon as it is there. */
export function useFrame(session: Session, wanted: Wanted | null): Rendered {
  const [state, setState] = useState<Omit<Rendered, 'again'>>({ frame: null, error: null });
  const frames = useMemo(
    () =>
      new Frames(session.rest, (frame, error) =>
        setState(before => ({ frame: frame ?? before.frame, error }))
      ),
    [session]
  );
  useEffect(() => () => frames.close(), [frames]);
  useEffect(() => frames.want(wanted));
  return { ...state, again: () => frames.again() };
}

/** The width of an element in pixels of the screen, in steps; 0 while it is not known. */
export function useWidth<E extends HTMLElement>(): [{ current: E | null }, number] {
  const place = useRef<E>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const element = place.current;
    if (!element || typeof ResizeObserver === 'undefined') return;
    const look = () => {
      const pixels = element.clientWidth * (globalThis.devicePixelRatio || 1);
      setWidth(pixels ? Math.min(1920, Math.max(320, Math.ceil(pixels / 160) * 160)) : 0);
    };
    const observer = new ResizeObserver(look);
    observer.observe(element);
    look();
    return () => observer.disconnect();
  }, []);
  return [place, width];
}
