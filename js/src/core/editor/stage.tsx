/** The frame that is edited: regions on it that are dragged, sized and nudged, and their path. */

import { useMemo, useRef } from 'preact/hooks';
import type { ComponentChildren } from 'preact';

import type { Translator } from '../host';
import type { Editing } from './editing';
import { isCrop, withRegion, type Layer } from './layers';
import {
  boxAt,
  boxesOf,
  clamped,
  moved,
  resized,
  scaled,
  withBox,
  withoutKey,
  keyAt,
  type Box,
  type Corner,
  type Region,
  type Size
} from './region';

const CORNERS: [name: string, corner: Corner][] = [
  ['nw', [-1, -1]],
  ['ne', [1, -1]],
  ['sw', [-1, 1]],
  ['se', [1, 1]]
];

const STEPS: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1]
};

export interface StageProps {
  editing: Editing;
  /** Of the picture, in its own pixels. */
  picture: Size;
  /** Those on this picture. */
  layers: Layer[];
  /** The time of a layer's own clock. */
  clock(layer: Layer): number;
  trans: Translator;
  /** The picture itself. */
  children: ComponentChildren;
}

export function Stage({ editing, picture, layers, clock, trans, children }: StageProps) {
  const place = useRef<HTMLDivElement>(null);
  const selected = editing.layer;
  const crop = layers.find(layer => isCrop(layer.region));
  const shown = layers.filter(layer => layer === selected || isShown(layer.region, clock(layer)));
  const boxOf = (layer: Layer) => {
    const box = boxAt(layer.region, clock(layer));
    return isCrop(layer.region) ? clamped(box, picture) : box;
  };
  // The selected one lies above the others, a highlight above a crop.
  const rank = (layer: Layer) => (layer.field === selected?.field ? 2 : isCrop(layer.region) ? 0 : 1);

  return (
    <div
      class="jpx-Stage"
      ref={place}
      style={shaped(picture)}
    >
      {children}
      <svg
        viewBox={`0 0 ${picture.width} ${picture.height}`}
        preserveAspectRatio="none"
        aria-hidden="true"
      >
        {crop && <Shade box={boxOf(crop)} picture={picture} />}
        {shown.map(layer => (
          <Shape key={layer.field} region={layer.region} box={boxOf(layer)} />
        ))}
        {selected && shown.includes(selected) && (
          <Trace region={selected.region} picture={picture} />
        )}
      </svg>
      {shown.map(layer => (
        <Handle
          key={layer.field}
          place={place}
          layer={layer}
          rank={rank(layer)}
          name={nameOf(layer, layers, trans)}
          {...{ editing, picture, trans, boxOf, clock }}
        />
      ))}
    </div>
  );
}

/** As wide as its place, but not so high that it must be scrolled. */
export const shaped = ({ width, height }: Size): Record<string, string> => ({
  aspectRatio: `${width} / ${height}`,
  width: `min(100%, calc(var(--jpx-high, 60vh) * ${width / height}))`
});

/** What a layer is called: the first crop, the second highlight. */
export function nameOf(layer: Layer, layers: Layer[], trans: Translator): string {
  if (isCrop(layer.region)) return trans.__('Crop');
  const count = layers.filter(it => !isCrop(it.region)).indexOf(layer);
  return trans.__('Highlight %1', count + 1);
}

function isShown(region: Region, time: number): boolean {
  if (isCrop(region)) return true;
  const { start = 0, end = null } = region;
  return time >= start - 1e-6 && (end === null || time < end - 1e-6);
}

/** All but the crop, darker. */
function Shade({ box, picture }: { box: Box; picture: Size }) {
  const { x, y, width, height } = box;
  const inner = `M${x} ${y}v${height}h${width}v${-height}z`;
  return (
    <path
      class="jpx-Shade"
      fill-rule="evenodd"
      d={`M0 0h${picture.width}v${picture.height}h${-picture.width}z${inner}`}
    />
  );
}

function Shape({ region, box }: { region: Region; box: Box }) {
  if (isCrop(region)) return null;
  const { x, y, width, height } = box;
  const look = { class: 'jpx-Shape', style: { color: region.color ?? '#ffd400' } };
  if (region.shape === 'box') return <rect {...look} {...{ x, y, width, height }} />;
  const ellipse = { cx: x + width / 2, cy: y + height / 2, rx: width / 2, ry: height / 2 };
  return <ellipse {...look} {...ellipse} />;
}

/** The way of the centre, with its keyframes. */
function Trace({ region, picture }: { region: Region; picture: Size }) {
  const path = useMemo(() => {
    const { keyframes } = region;
    const [first, last] = [keyframes[0]!.time, keyframes.at(-1)!.time];
    const count = Math.min(600, 24 * (keyframes.length - 1));
    const boxes = boxesOf(region);
    const centre = (time: number) => {
      const box = isCrop(region) ? clamped(boxes(time), picture) : boxes(time);
      return [box.x + box.width / 2, box.y + box.height / 2] as const;
    };
    const moments = Array.from({ length: count + 1 }, (_, i) => first + ((last - first) * i) / count);
    return {
      line: count ? moments.map(centre) : [],
      keys: count && keyframes.length <= MOST_KEYS ? keyframes.map(k => centre(k.time)) : []
    };
  }, [region, picture.width, picture.height]);
  const line = path.line.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(' ');
  return (
    <>
      <polyline class="jpx-Trace jpx-TraceRim" points={line} />
      <polyline class="jpx-Trace" points={line} />
      {path.keys.map(([x, y]) => (
        <path class="jpx-TraceKey" d={`M${x} ${y}h0`} />
      ))}
    </>
  );
}

/** Beyond that many, single keyframes are not shown: they come from a table, not from a hand. */
export const MOST_KEYS = 200;

interface HandleProps {
  place: { current: HTMLElement | null };
  editing: Editing;
  layer: Layer;
  rank: number;
  name: string;
  picture: Size;
  trans: Translator;
  boxOf(layer: Layer): Box;
  clock(layer: Layer): number;
}

/** What is taken hold of: by the pointer, or by keys while it has the focus. */
function Handle(props: HandleProps) {
  const { place, editing, layer, rank, name, picture, trans, boxOf, clock } = props;
  const { field, region } = layer;
  const box = boxOf(layer);
  const isSelected = editing.layer?.field === field;

  /** Follow the pointer until it is let go. */
  const follow = (event: PointerEvent, move: (x: number, y: number) => Box) => {
    if (event.button !== 0) return;
    event.preventDefault();
    event.stopPropagation();
    editing.select(field);
    const target = event.currentTarget as HTMLElement;
    (target.closest('.jpx-Region') as HTMLElement).focus();
    target.setPointerCapture(event.pointerId);
    const life = new AbortController();
    const { signal } = life;
    const edges = place.current!.getBoundingClientRect();
    const toPicture = ({ clientX, clientY }: PointerEvent) =>
      [
        ((clientX - edges.left) / edges.width) * picture.width,
        ((clientY - edges.top) / edges.height) * picture.height
      ] as const;
    const [x0, y0] = toPicture(event);
    const { settled } = editing;
    const time = clock(layer);
    const end = (keep: boolean) => {
      life.abort();
      editing.drop(keep);
    };
    const hear = <K extends keyof HTMLElementEventMap>(
      name: K,
      what: (event: HTMLElementEventMap[K]) => void
    ) => target.addEventListener(name, what, { signal });
    hear('pointermove', it => {
      const [x, y] = toPicture(it);
      // A hand that trembles while it clicks sets no keyframe.
      if (settled === editing.spec && Math.hypot(it.clientX - event.clientX, it.clientY - event.clientY) < 3) return;
      editing.drag(withRegion(settled, field, withBox(region, time, move(x - x0, y - y0))));
    });
    hear('pointerup', () => end(true));
    hear('pointercancel', () => end(false));
    target.ownerDocument.addEventListener(
      'keydown',
      it => it.key === 'Escape' && (it.stopPropagation(), it.preventDefault(), end(false)),
      { signal, capture: true }
    );
  };

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = STEPS[event.key];
    const by = event.shiftKey ? 10 : 1;
    // Keys may come faster than they are drawn.
    const now = editing.layers.find(it => it.field === field);
    if (!now) return;
    const { region } = now;
    const [box, time] = [boxOf(now), clock(now)];
    const put = (next: Box) => editing.edit(withRegion(editing.settled, field, withBox(region, time, next)));
    if (step) put(moved(region, box, step[0] * by, step[1] * by, picture));
    else if (event.key === '+' || event.key === '=') put(scaled(region, box, 1.02, picture));
    else if (event.key === '-' || event.key === '_') put(scaled(region, box, 1 / 1.02, picture));
    else if (event.key === 'Enter') put(box);
    else if (event.key === 'Delete' || event.key === 'Backspace') {
      const next = withoutKey(region, keyAt(region, time));
      editing.edit(withRegion(editing.settled, field, next));
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };

  const percent = (value: number, whole: number) => `${(100 * value) / whole}%`;
  const whole = (value: number) => Math.round(value);
  return (
    <div
      class="jpx-Region"
      data-field={field}
      data-type={region.type}
      data-selected={isSelected || undefined}
      tabIndex={0}
      role="group"
      aria-roledescription={trans.__('movable region')}
      aria-label={trans.__(
        '%1: left %2, top %3, %4 × %5',
        name,
        whole(box.x),
        whole(box.y),
        whole(box.width),
        whole(box.height)
      )}
      aria-keyshortcuts="ArrowLeft ArrowRight ArrowUp ArrowDown Plus Minus Enter Delete"
      title={trans.__('Drag to move. Arrow keys move it too, with Shift by 10 pixels; + and − size it, Enter sets a keyframe, Delete removes the one at this time.')}
      style={{
        zIndex: rank,
        left: percent(box.x, picture.width),
        top: percent(box.y, picture.height),
        width: percent(box.width, picture.width),
        height: percent(box.height, picture.height)
      }}
      onFocus={() => editing.select(field)}
      onKeyDown={onKeyDown}
      onPointerDown={event => follow(event, (dx, dy) => moved(region, box, dx, dy, picture))}
    >
      {isSelected &&
        CORNERS.map(([name, corner]) => (
          <span
            key={name}
            class="jpx-Corner"
            data-corner={name}
            onPointerDown={event => {
              const [x, y] = [
                box.x + ((1 + corner[0]) / 2) * box.width,
                box.y + ((1 + corner[1]) / 2) * box.height
              ];
              follow(event, (dx, dy) => resized(region, box, corner, x + dx, y + dy, picture));
            }}
          />
        ))}
    </div>
  );
}
