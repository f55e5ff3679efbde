/** The editor's surface: the frame and what is moved on it, time, result, before and after. */

import { useEffect, useMemo, useState } from 'preact/hooks';

import type { Translator } from '../host';
import { IconButton } from '../icons';
import type { Wanted } from '../rest';
import type { Session } from '../session';
import type { Spec } from '../types';
import { isRefusal, whyNot } from '../why';
import { BeforeAfter } from './compare';
import type { Editing } from './editing';
import { Film } from './film';
import { covers } from './frames';
import { Inspector } from './inspector';
import { clocks, hasLooks, SOURCE_STAGE, stageSpec, type Layer } from './layers';
import type { Size } from './region';
import { Result, UNKNOWN } from './result';
import { Stage } from './stage';
import { Timeline } from './timeline';
import { useChanges, useFrame, useWidth } from './use';

type View = 'edit' | 'result' | 'compare';

export interface SurfaceProps {
  session: Session;
  trans: Translator;
  editing: Editing;
  /** The shape of the result is chosen elsewhere. */
  noShape?: boolean;
  /** Nothing is to be moved: only the result is shown. */
  noEdit?: boolean;
  /** Shows what is refused, with the field that is wrong; null when nothing is. */
  onTrouble?(error: unknown): void;
}

const FRAME_S = 1 / 25;

export function Surface({ session, trans, editing, noShape, noEdit, onTrouble }: SurfaceProps) {
  useChanges(editing);
  const { spec, settled, time } = editing;
  const isJoined = settled.sources.length !== 1 || noEdit;
  const [chosen, setView] = useState<View>('edit');
  const view = isJoined && chosen === 'edit' ? 'result' : chosen;
  const [place, width] = useWidth<HTMLDivElement>();
  const [running, setRunning] = useState<'' | 'film' | 'frames'>('');
  const playing = running === 'film';
  const [playable, setPlayable] = useState<Record<string, boolean>>({});
  const { layers, layer } = editing;
  const stage = layer?.stage ?? SOURCE_STAGE;
  const inOutput = layer?.clock === 'output';

  const source = settled.sources[0]!;
  const clock = useMemo(() => clocks(settled), [settled]);
  const outputTime = isJoined ? time : clock.output(time);
  const toOwn = (at: number, of: Layer | undefined = layer) =>
    of?.clock === 'output' ? clock.output(at) : at;
  const fromOwn = (at: number) => (inOutput ? clock.source(at) : at);
  const stageTime = stage.startsWith('sources') ? time : outputTime;

  // Only of what decides the picture: it is not asked for again with each edit.
  const given = useMemo(() => stageSpec(settled, stage), [settled, stage]);
  // The names of the output and of the project do not show.
  const { project: _, ...named } = settled;
  const visible: Spec = { ...named, output: `preview${/\.[^./]*$/.exec(settled.output)?.[0] ?? ''}` };
  const usual: Omit<Wanted, 'show'> = { spec: visible, time: outputTime, width: Math.max(width, 320) };
  const canShow = width > 0 && source?.path !== '';
  const editable = !isJoined && canShow;
  const wantedStage = { spec: given, time: stageTime, show: stage, width: usual.width };
  const staged = useFrame(session, editable && view === 'edit' && !playing ? wantedStage : null);
  const wantedResult = view === 'edit' ? { ...usual, width: 480 } : usual;
  const result = useFrame(
    session,
    canShow && !playing && settled.output ? { ...wantedResult, show: 'result' } : null
  );
  const before = useFrame(session, canShow && view === 'compare' ? { ...usual, show: 'before' } : null);

  // Of every picture that was seen, its size, and how long what it is of lasts.
  const [sizes, setSizes] = useState<Record<string, Size & { duration: number }>>({});
  const keyOf = (of: Spec, show: string) => {
    const { path, start = 0, end = null } = of.sources[0]!;
    return JSON.stringify([path, start, end, show]);
  };
  useEffect(() => {
    const { frame } = staged;
    if (!frame) return;
    const { width: w, height: h, duration, wanted } = frame;
    const key = keyOf(wanted.spec, wanted.show);
    setSizes(known => ({ ...known, [key]: { width: w, height: h, duration } }));
  }, [staged.frame]);
  const ofStage = sizes[keyOf(given, stage)];
  const ofSource = sizes[keyOf(given, SOURCE_STAGE)];

  // What is shown is a frame, and the time is the one at which it begins.
  const exact = staged.frame && covers(staged.frame, wantedStage) ? staged.frame : null;
  useEffect(() => {
    if (!exact || playing) return;
    const begin = stage.startsWith('sources') ? exact.time : clock.source(exact.time);
    if (Math.abs(begin - time) > 1e-6) editing.setTime(begin);
  }, [exact, time]);

  const start = isJoined ? 0 : (source.start ?? 0);
  const ofRange = stage.startsWith('sources') ? (ofStage ?? ofSource) : ofSource;
  const length = result.frame?.duration;
  const end = length === undefined ? (source.end ?? start + 1) : isJoined ? length : clock.source(length);
  const last = !isJoined && ofRange ? start + ofRange.duration : end;
  useEffect(() => {
    if (time < start) editing.setTime(start);
  }, [time, start]);
  const shown = view === 'edit' ? staged.frame : result.frame;
  const step = shown ? Math.max(1e-3, shown.next - shown.time) : FRAME_S;

  const isInside = !source?.path.split('/').includes('..');
  const filmUrl =
    editable && isInside && stage === SOURCE_STAGE ? session.transport.fileUrl(source.path) : null;
  const film = view === 'edit' && filmUrl !== null && playable[filmUrl] !== false ? filmUrl : null;
  const isReady = film !== null && playable[film] === true;
  const fromStage = (at: number) => (stage.startsWith('sources') ? at : clock.source(at));
  const fromResult = (at: number) => (isJoined ? at : clock.source(at));
  const fromShown = view === 'edit' ? fromStage : fromResult;
  const stop = () => setRunning('');
  useEffect(stop, [view, film]);
  // Where the browser plays no film, frame after frame as they come.
  useEffect(() => {
    if (running !== 'frames' || !shown) return;
    const next = fromShown(shown.next);
    if (next >= last - 1e-3) stop();
    else editing.setTime(next);
  }, [shown]);
  const play = () => {
    if (running) return stop();
    if (time >= last - 2 * step) editing.setTime(start);
    else if (!isReady) editing.setTime(shown ? fromShown(shown.next) : start);
    setRunning(isReady ? 'film' : 'frames');
  };
  const toFrame = (direction: -1 | 1) => {
    // Keys may come faster than they are drawn.
    const inSource = view === 'edit' ? stage.startsWith('sources') : isJoined;
    const at = inSource ? editing.time : clock.output(editing.time);
    const frame = shown && at >= shown.time - 1e-6 && at < shown.next ? shown : null;
    const to = frame ? (direction > 0 ? frame.next : frame.time - step / 2) : at + direction * step;
    editing.setTime(Math.min(Math.max(fromShown(to), start), Math.max(start, last - 1e-3)));
  };

  const current = view === 'edit' ? staged : view === 'result' ? result : before.error ? before : result;
  const trouble = result.error ?? current.error;
  useEffect(() => onTrouble?.(trouble ?? null), [trouble]);
  const hasBefore = hasLooks(settled);
  const views: [View, string][] = [
    ...(isJoined ? [] : [['edit', trans.__('Edit')] as [View, string]]),
    ['result', trans.__('Result')],
    ...(hasBefore ? [['compare', trans.__('Before and after')] as [View, string]] : [])
  ];

  return (
    <div
      class="jpx-Surface"
      onKeyDown={event => {
        if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== 'z') return;
        if ((event.target as Element).matches('input:not([type=range])')) return;
        event.preventDefault();
        event.stopPropagation();
        if (event.shiftKey) editing.redo();
        else editing.undo();
      }}
    >
      <div class="jpx-Tools">
        <div class="jpx-Choices" role="group" aria-label={trans.__('View')}>
          {views.map(([value, label]) => (
            <button type="button" aria-pressed={view === value} onClick={() => setView(value)}>
              {label}
            </button>
          ))}
        </div>
        <span class="jpx-Gap" />
        {!isJoined && (
          <>
            <IconButton
              icon="undo"
              label={trans.__('Undo')}
              disabled={!editing.canUndo}
              onClick={() => editing.undo()}
            />
            <IconButton
              icon="redo"
              label={trans.__('Redo')}
              disabled={!editing.canRedo}
              onClick={() => editing.redo()}
            />
          </>
        )}
      </div>
      <div class="jpx-Halves">
        <div class="jpx-Screen" ref={place}>
          {view === 'edit' && (
            <Stage
              {...{ editing, trans }}
              picture={ofStage ?? ofSource ?? UNKNOWN}
              layers={ofStage ? layers.filter(it => it.stage === stage) : []}
              clock={it => toOwn(editing.time, it)}
            >
              {film && (
                <Film
                  key={film}
                  url={film}
                  {...{ editing, playing, last, stop }}
                  tell={it => setPlayable(all => ({ ...all, [film]: it }))}
                />
              )}
              {staged.frame && (exact || !isReady) && !playing && (
                <img
                  src={staged.frame.url}
                  data-time={staged.frame.time}
                  alt={trans.__('The frame at %1 s', staged.frame.time.toFixed(2))}
                />
              )}
            </Stage>
          )}
          {view === 'result' && <Result rendered={result} trans={trans} />}
          {view === 'compare' &&
            (before.frame && result.frame ? (
              <BeforeAfter before={before.frame} after={result.frame} trans={trans} />
            ) : (
              <Result rendered={result} trans={trans} />
            ))}
          <Timeline
            {...{ editing, trans, step, play, toFrame, fromOwn }}
            toOwn={at => toOwn(at)}
            first={start}
            last={Math.max(last, start + 1e-3)}
            playing={running !== ''}
            layer={isJoined ? undefined : layer}
          />
        </div>
        {view === 'edit' && (
          <div class="jpx-Beside">
            <figure class="jpx-Small">
              <Result rendered={result} trans={trans} />
              <figcaption>{trans.__('Result')}</figcaption>
            </figure>
            <Inspector
              {...{ editing, trans, noShape }}
              picture={ofStage ?? null}
              source={ofSource ?? null}
              clock={it => toOwn(editing.time, it)}
            />
          </div>
        )}
      </div>
      {trouble != null && !onTrouble && (
        <p class="jpx-Message" role="alert">
          {whyNot(trouble, trans)}{' '}
          {!isRefusal(trouble) && (
            <button type="button" onClick={current.again}>
              {trans.__('Try again')}
            </button>
          )}
        </p>
      )}
      <div class="jpx-Announcer" aria-live="polite">
        {said(spec, editing, toOwn(time), trans)}
      </div>
    </div>
  );
}

/** For screen readers: where the selected region is, once it has been moved. */
function said(spec: Spec, editing: Editing, own: number, trans: Translator): string {
  const { layer } = editing;
  if (!layer || !editing.canUndo || spec !== editing.settled) return '';
  const keys = layer.region.keyframes as readonly { time: number }[];
  const isKey = keys.some(key => Math.abs(key.time - own) < 1e-4);
  return isKey
    ? trans.__('Keyframe at %1 s, %2 in all', own.toFixed(2), keys.length)
    : trans.__('%1 keyframes', keys.length);
}
