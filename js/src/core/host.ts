/** What the application around a panel can do for it, and in which language. */

/** The part of JupyterLab's `TranslationBundle` used here. */
export interface Translator {
  __(text: string, ...values: unknown[]): string;
  _n(one: string, many: string, count: number, ...values: unknown[]): string;
}

export interface Host {
  trans?: Translator;
  /** Open a file of the server's root. */
  open?(path: string): void;
  /** Show a file of the server's root in its folder. */
  reveal?(path: string): void;
  /** Ask for a new export. */
  newExport?(): void;
}

const fill = (text: string, values: unknown[]): string =>
  text.replace(/%(\d)/g, (all, n: string) => (values.length >= +n ? String(values[+n - 1]) : all));

/** As written in the code. */
export const english: Translator = {
  __: (text, ...values) => fill(text, values),
  _n: (one, many, count, ...values) => fill(count === 1 ? one : many, [count, ...values])
};
