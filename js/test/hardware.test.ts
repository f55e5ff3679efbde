import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { mountPanel, type Mounted } from '../src/core/panel';
import { Session } from '../src/core/session';
import { FakeServer } from './fake';

const REPORT = {
  encoders: [
    { name: 'h264_nvenc', family: 'nvenc', usable: false, reason: 'no NVIDIA driver', detail: '' },
    { name: 'hevc_nvenc', family: 'nvenc', usable: false, reason: 'no NVIDIA driver', detail: '' },
    { name: 'h264_qsv', family: 'qsv', usable: false, reason: '<b>odd</b>', detail: 'MFX' },
    { name: 'libx264', family: 'software', usable: true, reason: '', detail: '' },
    { name: 'libx265', family: 'software', usable: true, reason: '', detail: '' }
  ],
  nvdec: { name: 'nvdec', usable: false, reason: 'no NVIDIA driver', detail: '' },
  torch: { version: null, cuda: null, usable: false, reason: 'not installed' },
  gpus: [],
  auto: { name: 'libx264', reason: '' },
  probed_at: '2026-01-01T00:00:00Z'
};

let server: FakeServer;
let element: HTMLElement;
let panel: Mounted;

beforeEach(() => {
  server = new FakeServer();
  server.answer = () => ({ status: 200, type: 'application/json', json: REPORT });
  element = document.createElement('div');
  document.body.append(element);
  panel = mountPanel(element, { session: new Session(server), host: {} });
  server.accept();
});

afterEach(() => {
  panel.dispose();
  element.remove();
});

const unfold = () => {
  const details = element.querySelector<HTMLDetailsElement>('.jpx-Hardware')!;
  details.open = true;
  details.dispatchEvent(new Event('toggle'));
};
const lines = () => [...element.querySelectorAll('.jpx-Hardware li')].map(li => li.textContent);

test('the hardware is asked for only when somebody looks, and every no has its reason', async () => {
  expect(server.asked).toEqual([]);
  unfold();
  await vi.waitFor(() => expect(lines()).toHaveLength(5));
  expect(lines()).toEqual([
    'libx264, libx265 can be used',
    'h264_nvenc, hevc_nvenc not usable: no NVIDIA driver',
    'h264_qsv not usable: <b>odd</b>',
    'nvdec not usable: no NVIDIA driver',
    'torch not usable: not installed'
  ]);
  expect(server.asked.map(ask => ask.path)).toEqual(['hardware']);
});

test('trying again asks the server for a fresh look', async () => {
  unfold();
  await vi.waitFor(() => expect(lines()).toHaveLength(5));
  server.answer = () => ({
    status: 200,
    type: 'application/json',
    json: { ...REPORT, gpus: [{ name: 'NVIDIA L4', driver: '570' }] }
  });
  element.querySelector<HTMLButtonElement>('.jpx-Hardware button')!.click();
  await vi.waitFor(() => expect(element.textContent).toContain('NVIDIA L4'));
  expect(server.asked.map(ask => ask.path)).toEqual(['hardware', 'hardware?refresh=true']);
});
