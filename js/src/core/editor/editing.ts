/** What is edited: a spec with its history, the time that is shown, the selected effect. */

import type { Spec } from '../types';
import { layersOf, same, type Layer } from './layers';

/** Steps that can be taken back. */
const STEPS = 100;

export class Editing {
  private past: Spec[] = [];
  private future: Spec[] = [];
  /** While something is dragged: not yet a step, and told to nobody. */
  private draft: Spec | null = null;
  private known: { spec: Spec; layers: Layer[] } | null = null;
  private listeners = new Set<() => void>();

  constructor(
    private kept: Spec,
    private moment = 0,
    private chosen = ''
  ) {}

  /** As it is shown. */
  get spec(): Spec {
    return this.draft ?? this.kept;
  }

  /** As it was before the drag that is under way. */
  get settled(): Spec {
    return this.kept;
  }

  get time(): number {
    return this.moment;
  }

  /** The same ones for the same spec. */
  get layers(): Layer[] {
    if (this.known?.spec !== this.spec) this.known = { spec: this.spec, layers: layersOf(this.spec) };
    return this.known.layers;
  }

  /** The selected effect; the last one where none was selected. */
  get layer(): Layer | undefined {
    const layers = this.layers;
    return layers.find(layer => layer.field === this.chosen) ?? layers.at(-1);
  }

  get canUndo(): boolean {
    return this.past.length > 0;
  }

  get canRedo(): boolean {
    return this.future.length > 0;
  }

  /** Hear of every change. Returns the undo. */
  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Change the spec, in one step. */
  edit(spec: Spec): void {
    this.draft = null;
    this.change(spec);
    this.tell();
  }

  /** Change it as long as something is dragged. */
  drag(spec: Spec): void {
    this.draft = spec;
    this.tell();
  }

  /** The end of a drag. */
  drop(keep = true): void {
    const { draft } = this;
    this.draft = null;
    if (draft && keep) this.change(draft);
    if (draft) this.tell();
  }

  /** Somebody else changed it; a change back is an undo, and one forth a redo. */
  take(spec: Spec): void {
    if (same(spec, this.kept)) {
      // It may have learnt defaults on its way; that is no step.
      this.kept = spec;
      return;
    }
    this.draft = null;
    this.change(spec);
    this.tell();
  }

  /** It is another one now, with nothing to undo. */
  replace(spec: Spec): void {
    if (same(spec, this.kept)) return;
    this.kept = spec;
    this.draft = null;
    this.past = [];
    this.future = [];
    this.tell();
  }

  setTime(time: number): void {
    if (time === this.moment) return;
    this.moment = time;
    this.tell();
  }

  select(field: string): void {
    if (field === this.chosen) return;
    this.chosen = field;
    this.tell();
  }

  undo(): void {
    const spec = this.past.at(-1);
    if (spec) this.edit(spec);
  }

  redo(): void {
    const spec = this.future.at(-1);
    if (spec) this.edit(spec);
  }

  private change(spec: Spec): void {
    const old = this.kept;
    if (same(spec, old)) return;
    this.kept = spec;
    // As the kernel's history does: the two agree by hearing of the specs alone.
    if (same(spec, this.past.at(-1))) {
      this.past.pop();
      this.future.push(old);
    } else if (same(spec, this.future.at(-1))) {
      this.future.pop();
      this.past.push(old);
    } else {
      this.past = [...this.past, old].slice(-STEPS);
      this.future = [];
    }
  }

  private tell(): void {
    for (const listener of this.listeners) listener();
  }
}
