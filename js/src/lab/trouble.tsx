/** Why an export cannot be submitted: told in the form, with a link to the job in the way. */

import { percentOf } from '../core/format';
import type { Translator } from '../core/host';
import type { Session } from '../core/session';
import { nameOf, type Job } from '../core/types';
import { isRefusal } from '../core/why';
import { useValue } from '../core/hooks';
import { FieldError } from './fields';

export interface Trouble {
  text: string;
  /** The job in the way. */
  job: string | null;
  percent: number | null;
  duplicate: boolean;
}

export function troubleOf(error: unknown, trans: Translator): Trouble {
  if (error instanceof FieldError) {
    return { text: error.message, job: null, percent: null, duplicate: false };
  }
  if (isRefusal(error)) {
    const { problem, advice, job } = error;
    const progress = problem.progress as { percent?: number } | undefined;
    return {
      text: [error.message, advice].filter(Boolean).join(' '),
      job,
      percent: progress?.percent === undefined ? null : Math.floor(progress.percent),
      duplicate: problem.type === 'duplicate-job'
    };
  }
  return { text: trans.__('The server does not answer.'), job: null, percent: null, duplicate: false };
}

interface Shared {
  trans: Translator;
  /** Leave the form and bring a job into view in the panel. */
  goTo(id: string): void;
}

export function Refused({ trouble, trans, goTo }: Shared & { trouble: Trouble }) {
  const { job } = trouble;
  return (
    <p class="jpx-Message" role="alert">
      {trouble.text}
      {trouble.percent !== null && ` (${trouble.percent} %)`}{' '}
      {job && (
        <button type="button" onClick={() => goTo(job)}>
          {trans.__('Show it')}
        </button>
      )}
    </p>
  );
}

/** "already in progress, 41 %", with a link: told before anything is asked of the server. */
export function InTheWay({ job, session, trans, goTo }: Shared & { job: Job; session: Session }) {
  const entry = session.store.entry(job.id);
  return (
    <p class="jpx-Message" role="status">
      {entry ? <Percent entry={entry} trans={trans} job={job} /> : nameOf(job)}{' '}
      <button type="button" onClick={() => goTo(job.id)}>
        {trans.__('Show it')}
      </button>
    </p>
  );
}

function Percent(props: {
  entry: NonNullable<ReturnType<Session['store']['entry']>>;
  trans: Translator;
  job: Job;
}) {
  const progress = useValue(props.entry.progress);
  const { trans, job } = props;
  return (
    <span>{trans.__('%1 is already in progress, %2 %.', nameOf(job), percentOf(progress))}</span>
  );
}
