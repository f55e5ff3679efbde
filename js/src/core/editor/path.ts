/** Values that move along keyframes, exactly as the renderer computes them (media/path.py). */

export interface Path {
  /** Seconds, growing. */
  times: readonly number[];
  /** At each time the same number of components. */
  points: readonly (readonly number[])[];
  interpolation: 'spline' | 'linear';
}

/** The value at a time; before the first and after the last point it rests. */
export function at({ times, points, interpolation }: Path, time: number): readonly number[] {
  const last = times.length - 1;
  if (time <= times[0]!) return points[0]!;
  if (time >= times[last]!) return points[last]!;
  let [i, beyond] = [0, last];
  while (beyond - i > 1) {
    const middle = (i + beyond) >> 1;
    if (times[middle]! <= time) i = middle;
    else beyond = middle;
  }
  const length = times[i + 1]! - times[i]!;
  const u = (time - times[i]!) / length;
  const [before, after] = [points[i]!, points[i + 1]!];
  if (interpolation === 'linear') return before.map((a, k) => a + (after[k]! - a) * u);
  // A cubic Hermite curve with the tangents of Catmull and Rom for uneven times.
  const h00 = (1 + 2 * u) * (1 - u) ** 2;
  const h10 = u * (1 - u) ** 2;
  const h01 = u * u * (3 - 2 * u);
  const h11 = u * u * (u - 1);
  const [m, n] = [tangent(times, points, i), tangent(times, points, i + 1)];
  return before.map(
    (a, k) => h00 * a + h10 * length * m[k]! + h01 * after[k]! + h11 * length * n[k]!
  );
}

/** At an end the end itself stands in for the neighbour that is missing. */
function tangent(times: Path['times'], points: Path['points'], i: number): number[] {
  const [a, b] = [Math.max(0, i - 1), Math.min(times.length - 1, i + 1)];
  const span = times[b]! - times[a]!;
  return points[a]!.map((p, k) => (points[b]![k]! - p) / span);
}
