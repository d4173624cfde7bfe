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

/** The page of a run whose trainer is not the built-in one. Uses the last build of the dashboard. */
describe('the page of a run of another trainer', () => {
  const runId = aRunId();
  let hub: HubProcess;
  let browser: Browser;
  let page: Page;
  let trainer: TrainerEnd;
  const errors: string[] = [];
  const by = (id: string): Locator => page.getByTestId(id);
  const points = (chart: string): Promise<string | null> =>
    by(chart).locator('[data-points]').getAttribute('data-points');
  /** A series is fetched once its chart is in sight. */
  const patiently = { timeout: 15_000 };

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
    await expect.poll(() => points('chart-loss'), patiently).toBe('1');
    expect(await by('panel-failed').count()).toBe(0);
    expect(errors).toEqual([]);
  });

  it('loads at most 247 kB of JavaScript', async () => {
    await page.goto(`${hub.url}/runs/?run=${runId}`);
    await by('live-page').waitFor();
    await page.waitForLoadState('networkidle');
    const scripts = await page.evaluate(() =>
      (performance.getEntriesByType('resource') as PerformanceResourceTiming[])
        .filter(({ name }) => new URL(name).pathname.endsWith('.js'))
        .map(({ encodedBodySize }) => encodedBodySize),
    );
    // As sent: compressed by gzip, as Chromium takes brotli from https alone.
    const sentKb = scripts.reduce((sum, bytes) => sum + bytes, 0) / 1000;
    expect(sentKb).toBeGreaterThan(50);
    expect(sentKb).toBeLessThanOrEqual(247);
  });

  it('keeps the controls if panels cannot be drawn', async () => {
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

  it('draws, fetches and follows only the series that the run has', async () => {
    const own = [
      ...['tokens', 'eval/acc', 'loss', 'lr-AdamW/pg1', 'lr-AdamW/pg2'],
      ...Array.from({ length: 30 }, (_, i) => `deep/${i}`),
    ];
    const values = (step: number) => recordOf(own.map((name, i) => [name, name.startsWith('lr') ? 10 ** -i : step]));
    const ownId = aRunId();
    const another: TrainerEnd = io(`${hub.url}/trainer`, { auth: trainer.auth as object, forceNew: true });
    await another.emitWithAck('attach', { ...attachment(ownId), run: { name: 'Of its own' } });
    const send = async (seqs: number[]): Promise<void> => {
      const events = [
        ...(seqs[0] === 2 ? [started(1, own)] : []),
        ...seqs.map((seq) => stepped(seq, values(seq), own)),
      ];
      expect(await another.emitWithAck('events', { events } as never)).toMatchObject({
        ok: true,
        lastSeq: seqs.at(-1),
      });
    };
    await send([2, 3, 4]);
    const asked = new Set<string>();
    page.on('request', (request) => {
      const url = new URL(request.url());
      if (url.pathname.endsWith(`/${ownId}/history`))
        for (const name of url.searchParams.getAll('metric')) asked.add(name);
    });
    await page.goto(`${hub.url}/runs/?run=${ownId}`);
    await expect.poll(() => points('chart-loss'), patiently).toBe('3');
    await expect.poll(() => points('chart-eval/acc'), patiently).toBe('3');
    expect(await by('chart-bias').count()).toBe(0);
    await expect
      .poll(() => by('key-learning-rate').innerText(), patiently)
      .toMatch(/1e-4 to 1e-3\s+pg1 1e-3, pg2 1e-4/);
    await by('series-group-deep').locator('summary').click();
    await by('series-deep/19').scrollIntoViewIfNeeded();
    await expect.poll(() => points('series-deep/19'), patiently).toBe('3');
    await send([5, 6]);
    await expect.poll(() => points('series-deep/19'), patiently).toBe('5');
    expect(asked.has('deep/19')).toBe(true);
    // The group shows a dozen charts at first, and none for the rest.
    expect([...asked].filter((name) => Number(name.split('/')[1]) > 19)).toEqual([]);
    expect(await by('key-loss').innerText()).toContain('6.000');
    expect(await page.locator('.key-number b').allInnerTexts()).not.toContain('–');
    for (const absent of ['key-held-out', 'key-kl', 'key-energy', 'chart-recovery', 'contribution', 'chart-speed'])
      expect(await by(absent).count(), absent).toBe(0);
    await page.goto(`${hub.url}/compare/?run=${ownId}`);
    await expect.poll(() => points('compare-loss'), patiently).toBe('5');
    for (const absent of ['compare-held-out', 'compare-bias', 'compare-kl'])
      expect(await by(absent).count(), absent).toBe(0);
    const cells = by('compare-table').locator('td');
    await expect.poll(() => cells.allInnerTexts(), patiently).toContain('6.000');
    expect(await cells.allInnerTexts()).not.toContain('–');
    another.disconnect();
  });

  it('draws the whole course of each run in every chart of a comparison', async () => {
    const names = [
      'held_out/mean/accuracy',
      'bias/number_tokens/held_out',
      'shift/kl',
      'train/loss',
      'loss',
      'eval/acc',
    ];
    const steps = 40;
    const runIds = [aRunId(), aRunId()];
    for (const id of runIds) {
      const sender: TrainerEnd = io(`${hub.url}/trainer`, { auth: trainer.auth as object, forceNew: true });
      await sender.emitWithAck('attach', { ...attachment(id), run: { name: 'Whole' } });
      const metrics = (seq: number) =>
        recordOf(names.map((name) => [name, name === 'eval/acc' && seq === 9 ? ('NaN' as const) : seq / 100]));
      const taken = Array.from({ length: steps }, (_, i) => stepped(i + 2, metrics(i + 2), names));
      expect(await sender.emitWithAck('events', { events: [started(1, names), ...taken] } as never)).toMatchObject({
        ok: true,
        lastSeq: steps + 1,
      });
      sender.disconnect();
    }
    await page.goto(`${hub.url}/compare/?${runIds.map((id) => `run=${id}`).join('&')}`);
    await by('compare-page').waitFor();
    const charts = page.locator('.compare-charts [data-points]');
    await expect.poll(() => charts.count(), patiently).toBe(names.length);
    for (const chart of await charts.all()) {
      await chart.scrollIntoViewIfNeeded();
      await expect.poll(() => chart.getAttribute('data-points'), patiently).toBe(String(2 * steps));
    }
    expect(await by('compare-eval/acc').getByText('not finite').count()).toBe(1);
    expect(await by('compare-kl').getByText('not finite').count()).toBe(0);
  });

  it('says what the hub refuses of what the trainer sends, and why', async () => {
    await page.goto(`${hub.url}/runs/?run=${runId}`);
    await by('live-page').waitFor();
    expect(await by('refused').count()).toBe(0);
    const bad = { ...stepped(5), series: [0, 9999], values: [1, 2] };
    await trainer.emitWithAck('events', { events: [bad] } as never);
    await by('refused').waitFor(patiently);
    const words = await by('refused').innerText();
    expect(words).toContain('The hub refuses part of what the trainer sends (1 so far)');
    expect(words).toContain('9999');
    expect(words).toContain('declare it with series_declared before its first value');
  });

  it('ends a run whose trainer takes no stop, once that is confirmed', async () => {
    const id = aRunId();
    const deaf: TrainerEnd = io(`${hub.url}/trainer`, { auth: trainer.auth as object, forceNew: true });
    await deaf.emitWithAck('attach', { ...attachment(id), commands: ['pause'] });
    await deaf.emitWithAck('events', { events: [started(), stepped(2)] } as never);
    await page.goto(`${hub.url}/runs/?run=${id}`);
    await by('control-end').click();
    const dialog = page.getByRole('dialog', { name: 'End this run without its trainer?' });
    await dialog.getByRole('button', { name: 'Keep waiting' }).click();
    await expect.poll(() => dialog.isVisible()).toBe(false);
    expect((await deaf.emitWithAck('events', { events: [stepped(3)] } as never)).ok).toBe(true);
    await by('control-end').click();
    await by('control-end-confirm').click();
    await page.getByText('its trainer takes no stop command').first().waitFor(patiently);
    await expect.poll(() => by('control-end').isDisabled(), patiently).toBe(true);
    await expect.poll(() => deaf.connected, patiently).toBe(false);
  });
});
