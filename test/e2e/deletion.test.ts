import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { RunId } from '@plumbline/shared/run';
import { openBrowser } from '../support/browser.js';
import { aRunId, attachment, finished, started, TestHub } from '../support/test-hub.js';

/** Uses the last build of the dashboard (`npm run build -w web`). */
describe('deleting runs in a browser', () => {
  let hub: TestHub;
  let browser: Browser;
  let page: Page;
  beforeAll(async () => {
    hub = await TestHub.start();
    browser = await openBrowser();
    page = await browser.newPage();
    await page.goto(`${hub.url}/?token=${hub.hub.sessions.createLink()}`);
    await page.waitForURL((url) => !url.searchParams.has('token'));
  });
  afterAll(async () => {
    await browser?.close();
    await hub?.remove();
  });
  beforeEach(async () => {
    await page.unrouteAll();
    await page.goto(hub.url);
  });

  async function ended(runId = aRunId()): Promise<RunId> {
    const trainer = hub.trainer();
    await trainer.emitWithAck('attach', attachment(runId));
    await trainer.emitWithAck('events', { events: [started(), finished(2)] });
    await hub.until(runId, (run) => run.state === 'finished');
    trainer.disconnect();
    return runId;
  }

  /** Opens the dialog for three runs. @returns them in order of deletion */
  async function openForThree(): Promise<RunId[]> {
    for (const runId of [await ended(), await ended(), await ended()]) {
      // The page learns of it later than the hub.
      await page.getByTestId(`run-${runId}`).getByText('Finished').waitFor();
      await page.getByTestId(`tick-${runId}`).check();
    }
    await page.getByTestId('delete').click();
    // The page first asks the hub for their families.
    await page.getByTestId('delete-goes').waitFor();
    return (await page.getByTestId('delete-goes').locator('code').allInnerTexts()) as RunId[];
  }
  const confirm = () => page.getByTestId('delete-confirm').click();
  const notice = () => page.getByTestId('deleted-notice').innerText();

  it.each(['the button', 'Escape', 'Escape, twice'])('stops after the run under way with %s', async (how) => {
    const [first, ...others] = await openForThree();
    // The deletion waits for the trainer to disconnect.
    hub.hub.runs.livingProcesses.add(first!);
    await confirm();
    const stop = page.getByRole('button', { name: 'Stop, keep the rest' });
    await stop.waitFor();
    if (how === 'the button') await stop.click();
    else await page.keyboard.press('Escape');
    if (how === 'Escape, twice') await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Stopping …' }).waitFor();
    expect(await page.locator('dialog[open]').count()).toBe(1);
    hub.hub.runs.livingProcesses.delete(first!);
    await page.locator('dialog').waitFor({ state: 'detached' });
    expect(await notice()).toMatch(new RegExp(`^Deleted ${first}: 2 events`));
    const left = (await hub.hub.runs.list()).map(({ runId }) => runId);
    expect([left.includes(first!), ...others.map((runId) => left.includes(runId))]).toEqual([false, true, true]);
  });

  it('does not start with Keep', async () => {
    const runs = await openForThree();
    await page.getByRole('button', { name: 'Keep' }).click();
    await page.locator('dialog').waitFor({ state: 'detached' });
    expect((await hub.hub.runs.list()).map(({ runId }) => runId)).toEqual(expect.arrayContaining(runs));
  });

  it('continues past runs that are already gone, also without messages from the hub', async () => {
    const [first, second, third] = await openForThree();
    await page.getByRole('button', { name: 'Keep' }).click();
    await page.route('**/socket.io/**', (route) => route.abort());
    await page.reload();
    for (const runId of [first, second, third]) await page.getByTestId(`tick-${runId}`).check();
    await page.getByTestId('delete').click();
    await hub.hub.runs.delete(second!, 'somebody else');
    await page.route(`**/api/runs/${third}`, (route) => route.abort(), { times: 1 });
    await confirm();
    await page.getByTestId('delete-problem').getByText('The hub does not answer').waitFor();
    expect(await page.getByTestId('delete-confirm').innerText()).toBe('Delete 1 run');
    await confirm();
    expect(await notice()).toMatch(/^Deleted 2 runs: 4 events/);
    expect((await hub.hub.runs.list()).filter(({ runId }) => [first, second, third].includes(runId))).toEqual([]);
  });

  it('is not undone by late messages about a run, but a newer run under its id is shown', async () => {
    const runId = await ended();
    const tick = page.getByTestId(`tick-${runId}`);
    await tick.waitFor();
    const shown = await browser.newPage();
    await shown.goto(`${hub.url}/runs/?run=${runId}`);
    await shown.getByTestId('live-page').waitFor();
    const run = await hub.hub.runs.get(runId);
    await hub.hub.runs.delete(runId, 'somebody');
    await tick.waitFor({ state: 'detached' });
    await shown.getByTestId('run-deleted').waitFor();
    // Earlier messages of another hub come through Redis; `run_deleted` does not.
    hub.hub.runs.emit('run', run, run);
    await page.getByTestId(`tick-${await ended()}`).waitFor();
    expect(await tick.count()).toBe(0);
    expect(await shown.getByTestId('run-deleted').count()).toBe(1);
    await shown.close();

    await ended(runId);
    await tick.waitFor();
  });
});
