import { expect, test } from 'vitest';

import { at } from '../src/core/editor/path';
// The renderer's own spline is tested with the same table.
import table from '../../tests/unit/path_table.json';

test.each(table)('$name', ({ times, points, interpolation, values }) => {
  for (const [time, value] of values as [number, number[]][]) {
    const found = at({ times, points, interpolation: interpolation as 'spline' }, time);
    expect(found).toHaveLength(value.length);
    found.forEach((component, i) => expect(component).toBeCloseTo(value[i]!, 9));
  }
});
