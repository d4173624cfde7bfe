import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openBrowser } from '../support/browser.js';
import { storeManyRuns } from '../support/many-runs.js';
import { aRunId, eventually, finished, started, stepped, TestHub } from '../support/test-hub.js';

const count = 230;

/** Uses the last build of the dashboard (`npm run build -w web`). */
describe('the list of many runs', () => {
  let hub: TestHub;
  let browser: Browser;
  let page: Page;
  /** The page's requests to the hub. */
  const asked: string[] = [];

  beforeAll(async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'plumbline-list-'));
    await storeManyRuns(dataDir, count);
    hub = await TestHub.start({ dataDir });
    browser = await openBrowser();
    page = await browser.newPage();
    page.on('request', (request) => {
      const { pathname, search } = new URL(request.url());
      if (pathname.startsWith('/api/') && pathname !== '/api/session') asked.push(pathname + search);
    });
    // Their overviews exist, as after a first visit.
    const { overviews } = hub.hub.runs;
    while ((await overviews.of(await hub.hub.runs.list(), 1000)).includes(null));
    await page.goto(hub.url);
  });
  afterAll(async () => {
    await browser?.close();
    await hub?.remove();
  });
  const rows = () => page.locator('a.run-row');

  it('shows a page of them with their values from one request, and the rest on scrolling', async () => {
    await page.getByText('230 in all, 0 under way').waitFor();
    expect(asked.filter((path) => path.startsWith('/api/runs?'))).toHaveLength(1);
    expect(asked.filter((path) => path.includes('/history'))).toEqual([]);
    expect(await rows().count()).toBe(200);
    // The newest run that is not a branch.
    expect(await page.getByTestId('run-bench-228').locator('.run-number b').allInnerTexts()).toEqual([
      ...[expect.stringMatching(/^0\.\d+$/), expect.stringMatching(/^\d+\.\d %$/)],
      ...[expect.stringMatching(/^\d+\.\d %$/), '0.320'],
    ]);
    await page.getByTestId('more-runs').scrollIntoViewIfNeeded();
    await eventually(async () => ((await rows().count()) === count ? true : null));
    expect(await page.getByTestId('more-runs').count()).toBe(0);
  });

  it('is searched, filtered and sorted at the hub', async () => {
    await page.getByTestId('run-text').fill('counting 22');
    await page.getByText('11 match').waitFor();
    expect(await rows().count()).toBe(11);
    await page.getByTestId('run-state').selectOption('failed');
    await page.getByText('2 match').waitFor();
    await page.getByTestId('run-text').fill('nothing like this');
    await page.getByTestId('no-match').getByRole('button').click();
    await page.getByText('230 in all').waitFor();
    await page.getByTestId('run-order').selectOption('loss');
    const losses = async (): Promise<number[]> =>
      (await rows().locator('.run-number:nth-child(4) b').allInnerTexts()).slice(0, 20).map(Number);
    await eventually(async () => {
      const values = await losses();
      return values.length === 20 && values.join() === values.toSorted((a, b) => a - b).join() ? true : null;
    });
    await page.getByTestId('run-order').selectOption('activity');
  });

  it('shows a new run and its live values, and drops a deleted one', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    await page.getByTestId(`run-${runId}`).waitFor();
    const names = ['my/score'];
    await trainer.emitWithAck('events', { events: [started(1, names), stepped(2, { 'my/score': 0.25 }, names)] });
    await page.getByTestId(`run-${runId}`).getByText('0.25', { exact: false }).waitFor();
    await page.getByTestId(`run-${runId}`).getByText('my/score').waitFor();
    await trainer.emitWithAck('events', { events: [finished(3)] });
    trainer.disconnect();
    await page.getByTestId(`run-${runId}`).getByText('Finished').waitFor();
    // The page gets no message about it.
    hub.hub.runs.removeAllListeners('deleted');
    await eventually(() => hub.hub.runs.delete(runId, 'somebody').catch(() => null));
    await page.reload();
    await page.getByText('230 in all').waitFor();
    expect(await page.getByTestId(`run-${runId}`).count()).toBe(0);
  });
});
