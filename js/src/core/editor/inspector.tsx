/** What there is to edit, and the selected effect in numbers and words. */

import type { Translator } from '../host';
import { IconButton } from '../icons';
import type { Editing } from './editing';
import {
  isCrop,
  newHighlight,
  sizesOf,
  without,
  withHighlight,
  withRegion,
  type Layer
} from './layers';
import {
  boxAt,
  clamped,
  reshaped,
  withBox,
  type Box,
  type Crop,
  type Highlight,
  type Region,
  type Size
} from './region';
import { nameOf } from './stage';

export interface InspectorProps {
  editing: Editing;
  /** The picture that the selected effect is given; null while it is not known. */
  picture: Size | null;
  /** That of the source. */
  source: Size | null;
  /** The time of a layer's own clock. */
  clock(layer: Layer): number;
  trans: Translator;
  /** The shape of the result is chosen elsewhere. */
  noShape?: boolean | undefined;
}

export function Inspector(props: InspectorProps) {
  const { editing, picture, source, clock, trans } = props;
  const { layers, layer } = editing;
  const drop = (field: string) => {
    const next = without(editing.settled, field);
    // Only an overlay must have one, and a clip may have none.
    const isBare = next.kind === 'overlay' && !next.effects?.length && !next.sources[0]!.effects?.length;
    editing.edit(isBare ? { ...next, kind: 'clip' } : next);
  };
  const add = () => {
    if (!source) return;
    const [spec, field] = withHighlight(editing.settled, newHighlight(source, editing.time));
    editing.edit(spec);
    editing.select(field);
  };
  const put = (region: Region) =>
    layer && editing.edit(withRegion(editing.settled, layer.field, region));
  return (
    <div class="jpx-Inspector">
      <ul class="jpx-Layers" aria-label={trans.__('What can be moved')}>
        {layers.map(it => (
          <li key={it.field}>
            <button
              type="button"
              aria-pressed={it === layer}
              onClick={() => editing.select(it.field)}
            >
              {nameOf(it, layers, trans)}
              {isCrop(it.region) && <small> {it.region.size.join(' × ')}</small>}
            </button>
            {!isCrop(it.region) && (
              <IconButton
                icon="cancel"
                label={trans.__('Remove %1', nameOf(it, layers, trans))}
                onClick={() => drop(it.field)}
              />
            )}
          </li>
        ))}
        <li>
          <button type="button" class="jpx-AddLayer" disabled={!source} onClick={add}>
            {trans.__('Add a highlight')}
          </button>
        </li>
      </ul>
      {layer && picture && (
        <fieldset class="jpx-Numbers">
          <legend>{nameOf(layer, layers, trans)}</legend>
          <Numbers {...{ layer, picture, trans, put }} time={clock(layer)} />
          {isCrop(layer.region) ? (
            !props.noShape && <Shape crop={layer.region} {...{ picture, trans, put }} />
          ) : (
            <Look highlight={layer.region} {...{ trans, put }} />
          )}
        </fieldset>
      )}
    </div>
  );
}

interface Part {
  trans: Translator;
  put(region: Region): void;
}

function Numbers(props: Part & { layer: Layer; picture: Size; time: number }) {
  const { layer, picture, trans, put, time } = props;
  const { region } = layer;
  const box = boxAt(region, time);
  const ratio = isCrop(region) ? region.size[0] / region.size[1] : null;
  const set = (change: Partial<Box>) => {
    const next = { ...box, ...change };
    if (ratio && change.width) next.height = next.width / ratio;
    if (ratio && change.height) next.width = next.height * ratio;
    put(withBox(region, time, isCrop(region) ? clampedToShape(next, picture) : next));
  };
  const fields: [keyof Box, string][] = [
    ['x', trans.__('Left')],
    ['y', trans.__('Top')],
    ['width', trans.__('Width')],
    ['height', trans.__('Height')]
  ];
  return (
    <>
      {fields.map(([name, label]) => (
        <label key={name}>
          <span>{label}</span>
          <input
            type="number"
            step="any"
            value={Math.round(box[name] * 100) / 100}
            onKeyDown={event => {
              // Done with this number, not with the form around it.
              if (event.key !== 'Enter') return;
              event.preventDefault();
              event.currentTarget.blur();
            }}
            onChange={event => {
              const value = event.currentTarget.valueAsNumber;
              const isSide = name === 'width' || name === 'height';
              if (Number.isFinite(value) && (!isSide || value >= 1)) set({ [name]: value });
              else event.currentTarget.value = String(box[name]);
            }}
          />
        </label>
      ))}
    </>
  );
}

function clampedToShape(box: Box, picture: Size): Box {
  const shrink = Math.min(1, picture.width / box.width, picture.height / box.height);
  return clamped({ ...box, width: box.width * shrink, height: box.height * shrink }, picture);
}

function Shape({ crop, picture, trans, put }: Part & { crop: Crop; picture: Size }) {
  const own = crop.size.join(' × ');
  const sizes = sizesOf(picture).filter(([, size]) => size.join(' × ') !== own);
  return (
    <label>
      <span>{trans.__('Result')}</span>
      <select
        value=""
        onChange={event => {
          const found = sizes.find(([name]) => name === event.currentTarget.value);
          if (found) put(reshaped(crop, found[1], picture));
        }}
      >
        <option value="">{own}</option>
        {sizes.map(([name, size]) => (
          <option value={name}>{`${name}: ${size.join(' × ')}`}</option>
        ))}
      </select>
    </label>
  );
}

function Look({ highlight, trans, put }: Part & { highlight: Highlight }) {
  const shapes = [
    ['ellipse', trans.__('Ellipse')],
    ['box', trans.__('Box')],
    ['ground', trans.__('Circle on the ground')]
  ] as const;
  const looks = [
    ['outline', trans.__('Outline')],
    ['brighten', trans.__('Brighter inside')],
    ['dim_outside', trans.__('Darker outside')]
  ] as const;
  return (
    <>
      <label>
        <span>{trans.__('Shape')}</span>
        <select
          value={highlight.shape ?? 'ellipse'}
          onChange={event =>
            put({ ...highlight, shape: event.currentTarget.value as (typeof shapes)[number][0] })
          }
        >
          {shapes.map(([value, words]) => (
            <option value={value}>{words}</option>
          ))}
        </select>
      </label>
      <label>
        <span>{trans.__('Look')}</span>
        <select
          value={highlight.effect ?? 'outline'}
          onChange={event =>
            put({ ...highlight, effect: event.currentTarget.value as (typeof looks)[number][0] })
          }
        >
          {looks.map(([value, words]) => (
            <option value={value}>{words}</option>
          ))}
        </select>
      </label>
      <label>
        <span>{trans.__('Colour')}</span>
        <input
          type="color"
          value={highlight.color ?? '#ffd400'}
          onChange={event => put({ ...highlight, color: event.currentTarget.value })}
        />
      </label>
    </>
  );
}
