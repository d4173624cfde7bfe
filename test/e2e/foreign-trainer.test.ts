import type { Browser, Locator, Page } from 'playwright-core';
import { io } from 'socket.io-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Command } from '@plumbline/shared/command';
import { recordOf } from '@plumbline/shared/record';
import { protocolVersion } from '@plumbline/shared/socket';
import type { ControlEventsResponse } from '@plumbline/shared/http';
import { openBrowser } from '../support/browser.js';
import { HubProcess } from '../support/hub-process.js';
import { oddNames } from '../support/odd-names.js';
import { aRunId, attachment, started, stepped, type TrainerEnd } from '../support/test-hub.js';

/** The page of a run whose trainer is not the built-in one, on the dashboard as it was built last. */
describe('the page of a run of another trainer', () => {
  const runId = aRunId();
  let hub: HubProcess;
  let browser: Browser;
  let page: Page;
  let trainer: TrainerEnd;
  const errors: string[] = [];
  const by = (id: string): Locator => page.getByTestId(id);

  beforeAll(async () => {
    hub = await HubProcess.start();
    const token = hub.trainerToken;
    trainer = io(`${hub.url}/trainer`, { auth: { token, protocol: protocolVersion } });
    await trainer.emitWithAck('attach', attachment(runId));
    const odd = recordOf(oddNames.map((name, i) => [name, i]));
    const events = [
      { ...started(), baseline: odd },
      { ...stepped(2), type: 'stage_started', stage: 0, task: 'constructor', steps: 10 },
      stepped(3),
      stepped(4, odd),
    ];
    expect(await trainer.emitWithAck('events', { events } as never)).toMatchObject({ ok: true, lastSeq: 4 });
    browser = await openBrowser();
    page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
    page.on('pageerror', (error) => errors.push(error.message));
    await page.goto(`${hub.url}/?token=${hub.token}`);
    await page.waitForURL((url) => !url.searchParams.has('token'));
  });
  afterAll(async () => {
    trainer?.disconnect();
    await browser?.close();
    await hub?.remove();
  });

  it('shows metrics and tasks of any name', async () => {
    await page.goto(`${hub.url}/runs/?run=${runId}`);
    await by('live-page').waitFor();
    await page.getByText('Stage 1: constructor').waitFor();
    expect(await by('chart-loss').locator('[data-points]').getAttribute('data-points')).toBe('1');
    expect(await by('panel-failed').count()).toBe(0);
    expect(errors).toEqual([]);
  });

  it('keeps the controls where panels cannot draw what they get', async () => {
    await page.route(`**/api/runs/${runId}/events`, async (route) => {
      const response = await route.fetch();
      const answer = (await response.json()) as ControlEventsResponse;
      const [start] = answer.events;
      if (start?.type === 'run_started') Object.assign(start.model, { groups: [null] });
      await route.fulfill({ response, json: answer });
    });
    await page.goto(`${hub.url}/runs/?run=${runId}`);
    await by('panel-failed').first().waitFor();
    expect(await by('panel-failed').first().innerText()).toContain('cannot be drawn');
    const command = new Promise<Command>((resolve) =>
      trainer.once('command', (given, ack) => {
        ack({ ok: true });
        resolve(given);
      }),
    );
    await by('control-pause').click();
    expect((await command).action.kind).toBe('pause');
    await page.unroute(`**/api/runs/${runId}/events`);
  });
});
