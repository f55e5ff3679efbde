/** The time that is shown, and the keyframes of the selected effect along it. */

import type { Translator } from '../host';
import { IconButton } from '../icons';
import type { Editing } from './editing';
import { withRegion, type Layer } from './layers';
import { boxAt, keyAt, withBox, withoutKey, withTime, type Region } from './region';
import { MOST_KEYS } from './stage';

export interface TimelineProps {
  editing: Editing;
  trans: Translator;
  /** What can be shown, in seconds. */
  first: number;
  last: number;
  /** Seconds to the next frame. */
  step: number;
  playing: boolean;
  play(): void;
  /** To the frame before the one that is shown, or to the next one. */
  toFrame(direction: -1 | 1): void;
  /** The selected effect, with its own clock. */
  layer?: Layer | undefined;
  toOwn(time: number): number;
  fromOwn(time: number): number;
}

/** `2.40 s`, `1:02.40`. */
export function moment(seconds: number): string {
  const minutes = Math.floor(seconds / 60);
  const rest = seconds - 60 * minutes;
  return minutes ? `${minutes}:${rest.toFixed(2).padStart(5, '0')}` : `${rest.toFixed(2)} s`;
}

export function Timeline(props: TimelineProps) {
  const { editing, trans, first, last, step, layer, toOwn, fromOwn, toFrame } = props;
  const { time } = editing;
  const own = toOwn(time);
  const keys = layer ? (layer.region.keyframes as readonly { time: number }[]) : [];
  const there = layer ? keyAt(layer.region, own) : -1;
  const goTo = (to: number) => editing.setTime(Math.min(Math.max(to, first), last));
  const nearest = (direction: -1 | 1) => {
    const times = keys.map(k => k.time).filter(t => direction * (t - own) > 1e-4);
    return direction > 0 ? times[0] : times.at(-1);
  };
  const jump = (direction: -1 | 1) => {
    const to = nearest(direction);
    if (to !== undefined) goTo(fromOwn(to));
  };
  const put = (region: Region) =>
    layer && editing.edit(withRegion(editing.settled, layer.field, region));
  const toggle = () => {
    if (!layer) return;
    const { region } = layer;
    put(there >= 0 ? withoutKey(region, there) : withBox(region, own, boxAt(region, own)));
  };

  return (
    <div class="jpx-Timeline">
      <div class="jpx-Transport">
        <IconButton
          icon={props.playing ? 'pause' : 'play'}
          label={props.playing ? trans.__('Stop') : trans.__('Play')}
          onClick={props.play}
        />
        <IconButton icon="previous" label={trans.__('Previous frame')} onClick={() => toFrame(-1)} />
        <IconButton icon="next" label={trans.__('Next frame')} onClick={() => toFrame(1)} />
        <output class="jpx-Moment">{moment(time)}</output>
        <span class="jpx-Gap" />
        {layer && (
          <>
            <IconButton
              icon="keyBefore"
              label={trans.__('Previous keyframe')}
              disabled={nearest(-1) === undefined}
              onClick={() => jump(-1)}
            />
            <IconButton
              icon={there >= 0 ? 'keyOff' : 'key'}
              label={there >= 0 ? trans.__('Remove this keyframe') : trans.__('Set a keyframe here')}
              disabled={there >= 0 && keys.length < 2}
              onClick={toggle}
            />
            <IconButton
              icon="keyAfter"
              label={trans.__('Next keyframe')}
              disabled={nearest(1) === undefined}
              onClick={() => jump(1)}
            />
          </>
        )}
      </div>
      <input
        type="range"
        class="jpx-Scrub"
        aria-label={trans.__('Time')}
        aria-valuetext={moment(time)}
        min={first}
        max={last}
        step="any"
        value={time}
        onInput={event => goTo(event.currentTarget.valueAsNumber)}
        onKeyDown={event => {
          const far = event.shiftKey || event.key.startsWith('Page') ? 1 : 0;
          const direction = DIRECTIONS[event.key];
          if (direction === undefined) return;
          event.preventDefault();
          if (far) goTo(editing.time + direction);
          else toFrame(direction);
        }}
      />
      {layer && keys.length <= MOST_KEYS && (
        <div class="jpx-Keys" role="group" aria-label={trans.__('Keyframes')}>
          {keys.map((key, index) => (
            <Key
              key={index}
              {...{ editing, trans, layer, index, step, toOwn, fromOwn, goTo }}
              time={key.time}
              isHere={index === there}
              at={(fromOwn(key.time) - first) / Math.max(1e-6, last - first)}
              span={last - first}
            />
          ))}
        </div>
      )}
      {keys.length > MOST_KEYS && (
        <p class="jpx-Note">{trans.__('%1 keyframes', keys.length.toLocaleString())}</p>
      )}
    </div>
  );
}

const DIRECTIONS: Record<string, -1 | 1> = {
  ArrowLeft: -1,
  ArrowDown: -1,
  PageDown: -1,
  ArrowRight: 1,
  ArrowUp: 1,
  PageUp: 1
};

interface KeyProps {
  editing: Editing;
  trans: Translator;
  layer: Layer;
  index: number;
  /** In the clock of the effect. */
  time: number;
  isHere: boolean;
  /** Along the line, from 0 to 1. */
  at: number;
  /** Seconds from one end of the line to the other. */
  span: number;
  step: number;
  toOwn(time: number): number;
  fromOwn(time: number): number;
  goTo(time: number): void;
}

/** One keyframe: a click shows its time, a drag moves it in time. */
function Key(props: KeyProps) {
  const { editing, trans, layer, index, time, span, step, toOwn, fromOwn, goTo } = props;
  const put = (region: Region) => withRegion(editing.settled, layer.field, region);
  const follow = (event: PointerEvent) => {
    if (event.button !== 0) return;
    const target = event.currentTarget as HTMLElement;
    target.setPointerCapture(event.pointerId);
    const { width } = target.parentElement!.getBoundingClientRect();
    const begin = fromOwn(time);
    const life = new AbortController();
    const { signal } = life;
    let isMoved = false;
    const end = (keep: boolean) => {
      life.abort();
      editing.drop(keep);
    };
    target.addEventListener(
      'pointermove',
      it => {
        const by = it.clientX - event.clientX;
        if (!isMoved && Math.abs(by) < 3) return;
        isMoved = true;
        const to = toOwn(begin + (by / width) * span);
        editing.drag(put(withTime(layer.region, index, to)));
      },
      { signal }
    );
    target.addEventListener('pointerup', () => end(true), { signal });
    target.addEventListener('pointercancel', () => end(false), { signal });
  };
  return (
    <button
      type="button"
      class="jpx-Key"
      style={{ left: `${100 * Math.min(1, Math.max(0, props.at))}%` }}
      aria-current={props.isHere || undefined}
      aria-label={trans.__('Keyframe at %1', moment(time))}
      title={trans.__('Keyframe at %1. Drag or arrow keys move it in time; Delete removes it.', moment(time))}
      onPointerDown={follow}
      onClick={() => goTo(fromOwn(time))}
      onKeyDown={event => {
        const direction = DIRECTIONS[event.key];
        if (event.key === 'Delete' || event.key === 'Backspace') {
          // The last of them goes from the page; the focus stays among the others.
          const others = [...event.currentTarget.parentElement!.children] as HTMLElement[];
          others[Math.max(0, Math.min(index, others.length - 2))]?.focus();
          editing.edit(put(withoutKey(layer.region, index)));
        } else if (direction !== undefined) {
          const by = direction * (event.shiftKey ? 10 : 1) * step;
          const next = withTime(layer.region, index, toOwn(fromOwn(time) + by));
          editing.edit(put(next));
        } else return;
        event.preventDefault();
        event.stopPropagation();
      }}
    />
  );
}
