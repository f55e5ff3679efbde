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
