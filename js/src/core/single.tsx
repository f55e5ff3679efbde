/** One job by itself: what a cell shows whose value is an export. */

import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';

import { usePanel } from './context';
import { JobRow } from './row';

/** The row of the job `id`; `saved` is shown where the server does not know it. */
export function Single({ id, saved }: { id: string; saved: string }) {
  const { session, trans } = usePanel();
  const { store, rest } = session;
  const unknown = useSignal(false);
  const loaded = store.loaded.value;
  const entry = store.entries.value.get(id);
  useEffect(() => {
    // The feed begins with the latest ones: this may be older.
    if (!loaded || store.entry(id)) return;
    rest.job(id).then(
      job => store.add([job]),
      () => (unknown.value = true)
    );
  }, [id, loaded]);
  return (
    <section class="jpx-Panel" aria-label={trans.__('Video export')}>
      {entry ? (
        <ul class="jpx-List">
          <JobRow key={id} entry={entry} />
        </ul>
      ) : (
        <p class="jpx-Empty">{unknown.value ? saved : trans.__('Waiting for the server…')}</p>
      )}
    </section>
  );
}
