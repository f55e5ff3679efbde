/** What a user fills in. */

export type Kind = 'clip' | 'concat' | 'framing' | 'overlay' | 'annotate' | 'compare';
export type Place = 'start' | 'middle' | 'end';

export interface Fields {
  kind: Kind;
  /** Paths; all but `concat` take the first one only. */
  sources: string[];
  /** As typed: `83.5`, `1:23.5`, or nothing. */
  start: string;
  end: string;
  output: string;
  project: string;
  quality: string;
  /** Width to height, such as `9:16`. */
  aspect: string;
  from: Place;
  to: Place;
  transition: string;
  annotation: string;
  text: string;
  anchor: string;
  /** The other version, for a comparison. */
  other: string;
  layout: string;
}

/** Those that are one text each. */
export type TextField = Exclude<keyof Fields, 'sources'>;

/** Says which field is wrong, and what would be right. */
export class FieldError extends Error {
  constructor(
    readonly field: keyof Fields,
    message: string
  ) {
    super(message);
  }
}
