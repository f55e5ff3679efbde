/** The finished film, inside its row. */

import { useEffect, useRef, useState } from 'preact/hooks';

import { usePanel } from './context';
import { Changed, fetchFilm, MOST_BYTES } from './film';
import { bytes } from './format';
import type { Job } from './types';

export function Player({ job }: { job: Job }) {
  const url = usePanel().session.transport.filmUrl(job.id);
  return url ? <Screen url={url} job={job} /> : <Fetched job={job} />;
}

function Screen({ url, job, autoplay = false }: { url: string; job: Job; autoplay?: boolean }) {
  const { trans } = usePanel();
  const [broken, setBroken] = useState(false);
  if (broken) return <p class="jpx-Note">{trans.__('This browser cannot play this file.')}</p>;
  if (/\.(gif|webp)$/i.test(job.output)) {
    return <img src={url} alt={job.output} onError={() => setBroken(true)} />;
  }
  return (
    <video
      controls
      autoplay={autoplay}
      preload="metadata"
      src={url}
      onError={() => setBroken(true)}
    />
  );
}

/** Through the kernel: only when it is asked for, since all of it comes before it plays. */
function Fetched({ job }: { job: Job }) {
  const { session, trans, attempt } = usePanel();
  const [done, setDone] = useState<number | null>(null);
  const [changed, setChanged] = useState(false);
  const [url, setUrl] = useState('');
  const life = useRef<AbortController | null>(null);
  useEffect(() => () => life.current?.abort(), []);
  useEffect(() => () => URL.revokeObjectURL(url), [url]);
  const size = job.result?.bytes ?? 0;

  const play = () => {
    const { signal } = (life.current = new AbortController());
    setDone(0);
    setChanged(false);
    attempt(trans.__('Play'), async () => {
      try {
        const film = await fetchFilm(from => session.rest.piece(job.id, from), setDone, signal);
        setUrl(URL.createObjectURL(film));
      } catch (error) {
        if (signal.aborted) return;
        setDone(null);
        setChanged(error instanceof Changed);
        if (!(error instanceof Changed)) throw error;
      }
    });
  };
  const stop = () => {
    life.current?.abort();
    setDone(null);
  };

  if (url) return <Screen url={url} job={job} autoplay />;
  if (size > MOST_BYTES) {
    return (
      <p class="jpx-Note">
        {trans.__(
          'This file has %1. Through the kernel, files of up to %2 can be played here; open this one from a file browser.',
          bytes(size),
          bytes(MOST_BYTES)
        )}
      </p>
    );
  }
  if (done === null) {
    return (
      <p class="jpx-Note">
        <button type="button" onClick={play}>
          {trans.__('Fetch %1 through the kernel and play', bytes(size))}
        </button>{' '}
        {changed && trans.__('The file changed while it was fetched. Try again.')}
      </p>
    );
  }
  return (
    <div class="jpx-Fetching">
      <progress max={size} value={done} aria-label={trans.__('Fetching the file')} />
      <span>{trans.__('%1 of %2', bytes(done), bytes(size))}</span>
      <button type="button" onClick={stop}>
        {trans.__('Stop')}
      </button>
    </div>
  );
}
