/** The few pictures on buttons, in the colour of the text around them. */

const PATHS = {
  pause: 'M4 3h3v10H4zM9 3h3v10H9z',
  play: 'M4 2.5v11l9-5.5z',
  cancel: 'M4 3 8 7l4-4 1 1-4 4 4 4-1 1-4-4-4 4-1-1 4-4-4-4z',
  retry: 'M8 3a5 5 0 1 0 5 5h-1.6A3.4 3.4 0 1 1 8 4.6V7l4-3.2L8 .6z',
  up: 'M8 3.5 13 9l-1 1-3.2-3.4V13H7.2V6.6L4 10 3 9z',
  down: 'M8 12.5 3 7l1-1 3.2 3.4V3h1.6v6.4L12 6l1 1z',
  film: 'M2 3h12v10H2zm1.5 1.2v1.4h1.4V4.2zm0 3.1v1.4h1.4V7.3zm0 3.1v1.4h1.4v-1.4zm7.6-6.2v1.4h1.4V4.2zm0 3.1v1.4h1.4V7.3zm0 3.1v1.4h1.4v-1.4zM6.2 4.4v7.2h3.6V4.4z',
  more: 'M4 6l4 4 4-4 1 1-5 5-5-5z',
  previous: 'M4 3h1.6v10H4zM12 3v10L6 8z',
  next: 'M10.4 3H12v10h-1.6zM4 3l6 5-6 5z',
  key: 'M8 1.8 14.2 8 8 14.2 1.8 8zM7.3 5v2.3H5v1.4h2.3V11h1.4V8.7H11V7.3H8.7V5z',
  keyOff: 'M8 1.8 14.2 8 8 14.2 1.8 8zM5 7.3v1.4h6V7.3z',
  keyBefore: 'M10 3.5 14.5 8 10 12.5 5.5 8zM4.6 4.4l1 1L3 8l2.6 2.6-1 1L1 8z',
  keyAfter: 'M6 3.5 10.5 8 6 12.5 1.5 8zM11.4 4.4 15 8l-3.6 3.6-1-1L13 8l-2.6-2.6z',
  undo: 'M6 2.5 2 6.3 6 10V7.4h3.5a2.6 2.6 0 0 1 0 5.2H5V14h4.5a4 4 0 0 0 0-8H6z',
  redo: 'M10 2.5 14 6.3 10 10V7.4H6.5a2.6 2.6 0 0 0 0 5.2H11V14H6.5a4 4 0 0 1 0-8H10z',
  add: 'M7.2 3h1.6v4.2H13v1.6H8.8V13H7.2V8.8H3V7.2h4.2z'
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="jpx-Icon" viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
      <path d={PATHS[name]} fill="currentColor" fill-rule="evenodd" />
    </svg>
  );
}

/** A button that is a picture; its label is for screen readers and as a tooltip. */
export function IconButton(props: {
  icon: IconName;
  label: string;
  onClick: () => void;
  pressed?: boolean;
  disabled?: boolean;
}) {
  return (
    <button
      type="button"
      class="jpx-IconButton"
      data-icon={props.icon}
      title={props.label}
      aria-label={props.label}
      aria-expanded={props.pressed}
      disabled={props.disabled}
      onClick={event => {
        event.stopPropagation();
        props.onClick();
      }}
    >
      <Icon name={props.icon} />
    </button>
  );
}
