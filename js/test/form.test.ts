import { expect, test, vi } from 'vitest';

import { Session } from '../src/core/session';
import { openForm } from '../src/lab/form';
import { FakeServer } from './fake';

const trans = { __: (text: string) => text, _n: (one: string) => one };

test('a name that is typed stays, however late the folder is listed', async () => {
  HTMLDialogElement.prototype.showModal ??= () => undefined;
  let listed: (paths: string[]) => void = () => undefined;
  openForm({
    session: new Session(new FakeServer()),
    trans: trans as never,
    sources: ['talk.mp4'],
    notebook: '',
    quality: 'balanced',
    list: () => new Promise(resolve => (listed = resolve)),
    show: () => undefined,
    submitted: () => undefined
  });
  const name = () => document.querySelector<HTMLInputElement>('[name=output]')!;
  const offered = () => document.querySelectorAll('datalist option').length;
  await vi.waitFor(() => expect(name()?.value).toBe('talk-clip.mp4'));
  listed(['talk.mp4', 'talk-clip.mp4', 'other.mp4']);
  // Drawn with the listing, and its effects are still to come: typed in between.
  for (let n = 0; n < 1000 && !offered(); n++) await Promise.resolve();
  name().value = 'mine.mp4';
  name().dispatchEvent(new Event('input', { bubbles: true }));
  await new Promise(resolve => setTimeout(resolve, 100));
  expect(name().value).toBe('mine.mp4');
});
