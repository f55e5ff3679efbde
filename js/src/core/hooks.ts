/** Values of the shared core in components of this bundle. */

import { useEffect, useState } from 'preact/hooks';

interface Readable<T> {
  peek(): T;
  subscribe(listener: (value: T) => void): () => void;
}

/**
 * The value of a signal of the core, drawn again when it changes.
 *
 * Reading `.value` would not do: the core may come from another bundle with a copy of its own of
 * the signals library, and each copy tracks only its own components.
 */
export function useValue<T>(source: Readable<T>): T {
  const [value, setValue] = useState(() => source.peek());
  useEffect(() => source.subscribe(next => setValue(() => next)), [source]);
  return value;
}
