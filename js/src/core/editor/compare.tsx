/** The picture before and after, over each other, with a slider between them. */

import { useState } from 'preact/hooks';

import type { Translator } from '../host';
import type { Frame } from './frames';
import { shaped } from './stage';

export function BeforeAfter(props: { before: Frame; after: Frame; trans: Translator }) {
  const { before, after, trans } = props;
  const [cut, setCut] = useState(50);
  return (
    <div class="jpx-Pair">
      <div
        class="jpx-Stage"
        style={{ ...shaped(after), '--jpx-cut': `${cut}%` }}
      >
        <img src={after.url} alt={trans.__('After')} />
        <img class="jpx-Before" src={before.url} alt={trans.__('Before')} />
        <span class="jpx-Cut" />
        <span class="jpx-Side" data-side="before" aria-hidden="true">
          {trans.__('Before')}
        </span>
        <span class="jpx-Side" data-side="after" aria-hidden="true">
          {trans.__('After')}
        </span>
      </div>
      <input
        type="range"
        min={0}
        max={100}
        value={cut}
        aria-label={trans.__('Before and after')}
        aria-valuetext={trans.__('%1 % before', cut)}
        onInput={event => setCut(event.currentTarget.valueAsNumber)}
      />
    </div>
  );
}
