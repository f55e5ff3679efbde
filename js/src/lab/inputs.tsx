/** The inputs of the form: texts, choices, and the list of videos. */

import type { Translator } from '../core/host';
import type { Facts } from '../core/types';
import { duration } from '../core/format';
import { IconButton } from '../core/icons';
import type { Fields, TextField } from './fields';

type Choices = [value: string, words: string][];

interface Input {
  label: string;
  choices?: Choices;
  placeholder?: string;
  required?: boolean;
  /** Suggestions are the videos beside the source. */
  isVideo?: boolean;
}

/** The datalist with the videos beside the source. */
const VIDEOS = 'jpx-form-videos';

export interface InputProps {
  name: TextField;
  fields: Fields;
  facts: Facts | null;
  trans: Translator;
  /** What is wrong with which field. */
  wrong?: Wrong | null;
  set(change: Partial<Fields>): void;
}

export interface Wrong {
  field: keyof Fields;
  text: string;
}

function describe(name: TextField, facts: Facts | null, trans: Translator): Input {
  const places: Choices = [
    ['start', trans.__('Left or top')],
    ['middle', trans.__('Middle')],
    ['end', trans.__('Right or bottom')]
  ];
  switch (name) {
    case 'kind':
      return { label: trans.__('Kind') };
    case 'start':
      return { label: trans.__('From'), placeholder: trans.__('the beginning') };
    case 'end': {
      const length = facts?.duration;
      const end = length ? trans.__('the end (%1 s)', length.toFixed(1)) : trans.__('the end');
      return { label: trans.__('To'), placeholder: end };
    }
    case 'output':
      return { label: trans.__('New file'), required: true };
    case 'project':
      return { label: trans.__('Project'), placeholder: trans.__('none') };
    case 'quality':
      return {
        label: trans.__('Quality'),
        choices: [
          ['fast', trans.__('Fast: a preview')],
          ['balanced', trans.__('Balanced')],
          ['quality', trans.__('High: for further editing')]
        ]
      };
    case 'aspect':
      return {
        label: trans.__('Shape'),
        choices: ['1:1', '9:16', '4:5', '16:9'].map(it => [it, it])
      };
    case 'from':
      return { label: trans.__('Frame at first'), choices: places };
    case 'to':
      return { label: trans.__('Frame at last'), choices: places };
    case 'transition':
      return {
        label: trans.__('Between them'),
        choices: [
          ['cut', trans.__('A cut')],
          ['fade', trans.__('A fade through black')],
          ['dissolve', trans.__('A dissolve')]
        ]
      };
    case 'annotation':
      return {
        label: trans.__('Show'),
        choices: [
          ['timecode', trans.__('The time')],
          ['text', trans.__('A text')]
        ]
      };
    case 'text':
      return { label: trans.__('Text'), required: true };
    case 'anchor':
      return {
        label: trans.__('Where'),
        choices: [
          ['top_left', trans.__('Top left')],
          ['top_right', trans.__('Top right')],
          ['bottom_left', trans.__('Bottom left')],
          ['bottom_right', trans.__('Bottom right')]
        ]
      };
    case 'other':
      return { label: trans.__('Compare with'), required: true, isVideo: true };
    case 'layout':
      return {
        label: trans.__('Layout'),
        choices: [
          ['side_by_side', trans.__('Side by side')],
          ['wipe', trans.__('A wipe from one to the other')],
          ['before_then_after', trans.__('One after the other')]
        ]
      };
  }
}

/** A label, and what it names. */
export function Field({ name, choices, ...props }: InputProps & { choices?: Choices }) {
  const input = describe(name, props.facts, props.trans);
  const id = `jpx-form-${name}`;
  const value = props.fields[name];
  const tell = (event: { currentTarget: { value: string } }) =>
    props.set({ [name]: event.currentTarget.value });
  const options = choices ?? input.choices;
  const wrong = props.wrong?.field === name ? props.wrong.text : '';
  const told = wrong ? { 'aria-invalid': true, 'aria-describedby': `${id}-wrong` } : {};
  return (
    <>
      <label for={id}>{input.label}</label>
      {options ? (
        <select id={id} name={name} value={value} onChange={tell} {...told}>
          {options.map(([one, words]) => (
            <option value={one}>{words}</option>
          ))}
        </select>
      ) : (
        <input
          id={id}
          name={name}
          value={value}
          placeholder={input.placeholder}
          required={input.required}
          list={input.isVideo ? VIDEOS : undefined}
          autocomplete="off"
          onInput={tell}
          {...told}
        />
      )}
      {wrong && (
        <p class="jpx-Wrong" id={`${id}-wrong`} role="alert">
          {wrong}
        </p>
      )}
    </>
  );
}

export interface SourcesProps {
  fields: Fields;
  /** Whether there can be several. */
  many: boolean;
  facts: Facts | null;
  /** Why the first video cannot be used, or ''. */
  trouble: string;
  /** The paths of the videos beside the source. */
  videos: string[];
  trans: Translator;
  set(change: Partial<Fields>): void;
}

/** The videos that are taken, in their order. */
export function Sources({ fields, many, facts, trouble, videos, trans, set }: SourcesProps) {
  const { sources } = fields;
  const shown = many ? sources : sources.slice(0, 1);
  const change = (edit: (list: string[]) => void) => {
    const list = [...sources];
    edit(list);
    set({ sources: list });
  };
  const swap = (at: number, with_: number) =>
    change(list => {
      [list[at], list[with_]] = [list[with_]!, list[at]!];
    });
  const size = facts && `${facts.width} × ${facts.height}`;
  const length = facts?.duration && duration(facts.duration);
  return (
    <>
      <label class="jpx-Top" for="jpx-form-source-0">{many ? trans.__('Videos') : trans.__('Video')}</label>
      <div class="jpx-Sources">
        {shown.map((path, at) => (
          <div class="jpx-Source" key={at}>
            <input
              id={`jpx-form-source-${at}`}
              aria-label={many ? trans.__('Video %1', at + 1) : undefined}
              value={path}
              required
              placeholder={trans.__('choose a video, or type its path')}
              list={VIDEOS}
              autocomplete="off"
              onInput={event => {
                const { value } = event.currentTarget;
                change(list => (list[at] = value));
              }}
            />
            {many && (
              <>
                <IconButton
                  icon="up"
                  label={trans.__('Earlier: video %1', at + 1)}
                  disabled={at === 0}
                  onClick={() => swap(at, at - 1)}
                />
                <IconButton
                  icon="down"
                  label={trans.__('Later: video %1', at + 1)}
                  disabled={at === shown.length - 1}
                  onClick={() => swap(at, at + 1)}
                />
                <IconButton
                  icon="cancel"
                  label={trans.__('Leave out video %1', at + 1)}
                  disabled={shown.length === 1}
                  onClick={() => change(list => list.splice(at, 1))}
                />
              </>
            )}
          </div>
        ))}
        {many && (
          <button type="button" onClick={() => change(list => list.push(''))}>
            {trans.__('Add a video')}
          </button>
        )}
        {!many && (size || trouble) && (
          <p class="jpx-Hint" role="status">
            {trouble || [size, length].filter(Boolean).join(' · ')}
          </p>
        )}
      </div>
      <datalist id={VIDEOS}>
        {videos.map(path => (
          <option value={path} />
        ))}
      </datalist>
    </>
  );
}
