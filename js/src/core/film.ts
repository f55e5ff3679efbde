/** A finished file brought into the page piece by piece, where the page cannot load it itself. */

import { Unreachable, type Reply } from './transport';

/** All of it is held in the page's memory. */
export const MOST_BYTES = 256 * 2 ** 20;

/** The file became another one while it was fetched. */
export class Changed extends Error {
  override name = 'Changed';
}

/**
 * The whole file. `piece` gives what begins at a byte; `tell` hears how many bytes are there.
 * Rejects with the signal's reason when it is aborted.
 */
export async function fetchFilm(
  piece: (from: number) => Promise<Reply>,
  tell: (done: number) => void,
  signal: AbortSignal
): Promise<Blob> {
  const parts: Blob[] = [];
  let first: Reply | undefined;
  for (let done = 0; first === undefined || done < first.total!; ) {
    const reply = await piece(done);
    signal.throwIfAborted();
    if (!reply.blob?.size || reply.total === undefined) throw new Unreachable('no piece of a file');
    first ??= reply;
    if (reply.etag !== first.etag || reply.total !== first.total) throw new Changed();
    parts.push(reply.blob);
    done += reply.blob.size;
    tell(done);
  }
  return new Blob(parts, { type: first.type });
}
