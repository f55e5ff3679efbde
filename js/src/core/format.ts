/** Numbers, times and states in words. */

import type { Translator } from './host';
import { isLive, isRunning, type Job, type Progress, type Segments } from './types';

/** Whole percent; 100 only when it is all done. */
export const percentOf = ({ percent }: Progress): number =>
  percent >= 100 ? 100 : Math.min(99, Math.floor(percent));

/** `12 s`, `3:07`, `1:02:45`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const two = (n: number) => String(n).padStart(2, '0');
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** `1.2 GB`: decimal, as file managers show it. */
export function bytes(count: number): string {
  let value = count;
  for (const unit of ['B', 'kB', 'MB']) {
    if (value < 1000) return `${unit === 'B' || value >= 100 ? Math.round(value) : value.toFixed(1)} ${unit}`;
    value /= 1000;
  }
  return `${value.toFixed(1)} GB`;
}

/** The time of day, with the date when it was not today. */
export function clock(iso: string): string {
  const time = new Date(iso);
  const today = time.toDateString() === new Date().toDateString();
  return today ? time.toLocaleTimeString() : time.toLocaleString();
}

/** The state in one or two words. */
export function stateText(job: Job, trans: Translator): string {
  if (job.cancel_requested && isLive(job)) return trans.__('Cancelling');
  if (job.paused && isLive(job)) return isRunning(job) ? trans.__('Pausing') : trans.__('Paused');
  switch (job.state) {
    case 'queued':
      return job.not_before && Date.parse(job.not_before) > Date.now()
        ? trans.__('Retry waits')
        : trans.__('Queued');
    case 'running':
      return trans.__('Running');
    case 'publishing':
      return trans.__('Publishing');
    case 'completed':
      return trans.__('Completed');
    case 'failed':
      return trans.__('Failed');
    case 'cancelled':
      return trans.__('Cancelled');
  }
}

/** What a running job does at the moment. */
export function phaseText(phase: string, trans: Translator): string {
  switch (phase) {
    case 'planning':
      return trans.__('planning');
    case 'rendering':
      return trans.__('rendering');
    case 'assembling':
      return trans.__('assembling');
    case 'publishing':
      return trans.__('publishing');
    default:
      return phase;
  }
}

/** `rendering · 1,234 / 3,000 frames · 88 fps · 12 s left`. */
export function progressText(progress: Progress, trans: Translator): string {
  const { frames, total_frames: total, fps, eta_s: eta } = progress;
  const parts = [phaseText(progress.phase, trans)];
  if (total) {
    parts.push(trans.__('%1 / %2 frames', frames.toLocaleString(), total.toLocaleString()));
  }
  if (fps !== null) parts.push(trans.__('%1 fps', fps < 10 ? fps.toFixed(1) : Math.round(fps)));
  if (eta !== null) parts.push(trans.__('%1 left', duration(eta)));
  return parts.join(' · ');
}

/** `3 of 8 segments: 2 rendered, 1 reused`. */
export function segmentsText(segments: Segments, trans: Translator): string {
  const { copied, rendered, reused, total } = segments;
  const parts = [
    copied && trans.__('%1 copied', copied),
    rendered && trans.__('%1 rendered', rendered),
    reused && trans.__('%1 reused', reused)
  ].filter(Boolean);
  const done = copied + rendered + reused;
  const head = trans.__('%1 of %2 segments', done, total);
  return parts.length ? `${head}: ${parts.join(', ')}` : head;
}
