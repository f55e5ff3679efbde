/** Errors in words. */

import type { Translator } from './host';
import type { Refusal } from './transport';

/** By its shape, not its class: the error may come from the core of another bundle. */
export const isRefusal = (error: unknown): error is Refusal =>
  error instanceof Error && 'problem' in error;

/** What the server refuses, or that it does not answer. */
export function whyNot(error: unknown, trans: Translator): string {
  if (!isRefusal(error)) return trans.__('The server does not answer.');
  return [error.message, error.advice].filter(Boolean).join(' ');
}
