/** A frame as the export will show it. */

import type { Translator } from '../host';
import type { Size } from './region';
import { shaped } from './stage';
import type { Rendered } from './use';

/** As long as nothing else is known. */
export const UNKNOWN: Size = { width: 16, height: 9 };

/** The rendered frame, or the place where it will be. */
export function Result({ rendered, trans }: { rendered: Rendered; trans: Translator }) {
  const { frame, error } = rendered;
  const shape = frame ?? UNKNOWN;
  return (
    <div
      class="jpx-Result"
      data-stale={error != null || undefined}
      style={shaped(shape)}
    >
      {frame && (
        <img
          src={frame.url}
          data-time={frame.time}
          alt={trans.__('The result at %1 s, as it will be exported', frame.time.toFixed(2))}
        />
      )}
    </div>
  );
}
