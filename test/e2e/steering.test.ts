import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { branchName } from '@plumbline/shared/branch-name';
import { weightDrift } from '@plumbline/shared/metric';
import { RunId } from '@plumbline/shared/run';
import { openBrowser } from '../support/browser.js';
import { HubClient } from '../support/hub-client.js';
import { HubProcess } from '../support/hub-process.js';
import { holes } from '../support/ledger.js';

/** The whole path of a user: a real browser, the real hub, the real trainer on the base model. */
describe('steering a run from a browser', () => {
  let hub: HubProcess;
  let client: HubClient;
  let browser: Browser;
  let page: Page;
  let runId: RunId;
  const errors: string[] = [];
  const by = (id: string): Locator => page.getByTestId(id);
  const until = <T>(what: string, ask: () => Promise<T | undefined | false>): Promise<T> =>
    client.until(what, async () => (await ask()) || undefined);
  /** The number of values in a chart. */
  const points = async (chart: string): Promise<number> =>
    Number(await by(`chart-${chart}`).locator('[data-points]').getAttribute('data-points'));
  const outcome = (control: string, state: string): Promise<true> =>
    until(
      `${control} to be ${state}`,
      async () =>
        (await by(`outcome-${control}`)
          .getAttribute('data-state')
          .catch(() => '')) === state,
    );
  const runIs = (state: string): Promise<true> =>
    until(`the page to say ${state}`, async () => new RegExp(state, 'i').test(await by('run-state').innerText()));
  const drift = async (group: string): Promise<{ step: number; value: unknown }[]> => {
    const { series } = await client.history(runId, `&metric=${weightDrift(group)}`);
    const { steps, values } = series[weightDrift(group)]!;
    return steps.map((step, i) => ({ step, value: values[i] }));
  };

  beforeAll(async () => {
    hub = await HubProcess.start({ prepare: true });
    browser = await openBrowser();
    page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
    page.on('pageerror', (error) => errors.push(error.message));
    page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  });
  afterAll(async () => {
    await browser?.close();
    client?.close();
    await hub?.remove();
  });

  it('is read-only without the link, and the address does not keep the token', async () => {
    await page.goto(hub.url);
    await by('read-only').waitFor();
    await page.goto(`${hub.url}/?token=${hub.token}`);
    await page.waitForURL((url) => !url.searchParams.has('token'));
    await by('read-only').waitFor({ state: 'detached' });
    await by('new-run').first().waitFor();
    const again = await fetch(`${hub.url}/api/session`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', origin: hub.url },
      body: JSON.stringify({ token: hub.token }),
    });
    expect(again.ok).toBe(false);
    const cookie = (await page.context().cookies()).map(({ name, value }) => `${name}=${value}`).join('; ');
    client = HubClient.withCookie(hub, cookie);
  });

  it('refuses an invalid learning rate, and starts a run from the form', async () => {
    await by('new-run').first().click();
    await by('new-run-name').fill('From the browser');
    await by('new-run-steps').fill('5000');
    await page.getByText('More settings').click();
    await by('new-run-batchSize').fill('8');
    await by('new-run-probeEverySteps').fill('5');
    // In a small window, scrolled to the form's end: the wrong field scrolls into view with its message.
    await page.setViewportSize({ width: 390, height: 480 });
    await by('new-run-learningRate').fill('0');
    await by('new-run-form')
      .locator('.sheet-body')
      .evaluate((body) => body.scrollTo({ top: body.scrollHeight }));
    await by('new-run-start').click();
    const message = by('new-run-learningRate-error');
    await message.waitFor();
    const isShown = (one: Element): boolean => {
      const { left, top, width, height } = one.getBoundingClientRect();
      return one.contains(document.elementFromPoint(left + width / 2, top + height / 2));
    };
    await until('the message in sight', () => message.evaluate(isShown));
    const wrong = by('new-run-learningRate');
    expect(await wrong.evaluate(isShown)).toBe(true);
    expect(await wrong.evaluate((one) => one === document.activeElement)).toBe(true);
    expect(await wrong.getAttribute('aria-invalid')).toBe('true');
    expect(await wrong.getAttribute('aria-describedby')).toBe(await message.getAttribute('id'));
    await page.setViewportSize({ width: 1440, height: 900 });
    await by('new-run-learningRate').fill('0.001');
    await by('new-run-start').click();
    await by('live-page').waitFor();
    runId = RunId.parse(new URL(page.url()).searchParams.get('run'));
  });

  it('shows points as they arrive', async () => {
    await runIs('running');
    const first = await until('the first losses', async () => (await points('loss')) > 3 && points('loss'));
    await until('more of them', async () => (await points('loss')) > first + 5);
    await until('bias and accuracy', async () => (await points('bias')) > 2 && (await points('accuracy')) > 2);
    expect(await by('trainer-connection').innerText()).toMatch(/connected/i);
  });

  it('freezes all but the self-attention projections during the run; from that step on the MLP does not change at all', async () => {
    await by('recipe-sa_proj').click();
    expect(await by('freeze-diff').innerText()).toMatch(/\d+/);
    await by('freeze-apply').click();
    await outcome('trainable', 'applied');
    const command = (await client.commands(runId)).find(({ action }) => action.kind === 'set_trainable')!;
    expect(command).toMatchObject({
      state: 'applied',
      author: 'dashboard',
      before: { selection: 'full' },
      after: { selection: 'sa_proj' },
    });
    await client.step(runId, command.step! + 21);
    const mlp = (await drift('language_model.layers.3.mlp.down_proj')).filter(({ step }) => step >= command.step!);
    const attention = (await drift('language_model.layers.3.self_attn.q_proj')).filter(
      ({ step }) => step >= command.step!,
    );
    expect(mlp.length).toBeGreaterThanOrEqual(4);
    expect(new Set(mlp.map(({ value }) => value)).size).toBe(1);
    expect(mlp[0]!.value).toBeGreaterThan(0);
    expect(new Set(attention.map(({ value }) => value)).size).toBe(attention.length);
    const cell = page.locator('[data-group="language_model.layers.3.mlp.down_proj"]').first();
    await until('the freeze map to show it', async () => (await cell.getAttribute('data-training')) === 'frozen');
  });

  it('previews a name pattern and refuses one that hits nothing', async () => {
    await by('pattern').fill('language_model.layers.0.*');
    await until('the preview', async () => /\d/.test(await by('pattern-preview').innerText()));
    await by('pattern').fill('experts.*');
    await until('the refusal', async () => /matches no/.test(await by('pattern-preview').innerText()));
    await by('pattern').fill('');
  });

  it('pauses, takes commands while paused, and steps once', async () => {
    await by('control-pause').click();
    await runIs('paused');
    const { lastStep } = await client.run(runId);
    await by('learning-rate').fill('0.0005');
    await by('learning-rate-set').click();
    await outcome('learning-rate', 'applied');
    await by('control-save').click();
    await outcome('save', 'applied');
    await by('control-evaluate').click();
    await outcome('evaluate', 'applied');
    expect((await client.run(runId)).lastStep).toBe(lastStep);
    await by('control-step').click();
    await client.step(runId, lastStep + 1);
    await runIs('paused');
    expect((await client.run(runId)).lastStep).toBe(lastStep + 1);
  });

  /** A chart has its data while it is in sight. */
  const drawnDrift = async (): Promise<number> => {
    await by('chart-weight-drift').scrollIntoViewIfNeeded();
    return points('weight-drift');
  };
  it('shows the same curves without a gap after a reload', async () => {
    const before = { loss: await points('loss'), bias: await points('bias'), drift: await drawnDrift() };
    await page.reload();
    await until('the page to be live again', async () => (await by('live-page').getAttribute('data-phase')) === 'live');
    await until('the same curves', async () => (await points('loss')) === before.loss);
    await until('the same drift', async () => (await drawnDrift()) === before.drift);
    expect({ loss: await points('loss'), bias: await points('bias'), drift: await drawnDrift() }).toEqual(before);
    const { lastStep } = await client.run(runId);
    expect(before.loss).toBe(lastStep);
    expect(await by('timeline').innerText()).toMatch(/sa_proj|SA Proj/);
  });

  it('resumes, and loses no event if the page reloads during the run', async () => {
    await by('control-resume').click();
    await runIs('running');
    const { lastStep } = await client.run(runId);
    await page.reload();
    await client.step(runId, lastStep + 10);
    await until('the curves to be whole', async () => (await points('loss')) >= lastStep + 10);
    await by('control-pause').click();
    await runIs('paused');
    await until('every step to be drawn', async () => (await points('loss')) === (await client.run(runId)).lastStep);
  });

  it('opens a branch from the saved checkpoint, which continues as a run of its own', async () => {
    const saved = (await client.controlEvents(runId)).events.find(
      (event) => event.type === 'checkpoint_saved' && event.checkpointId.startsWith('saved-'),
    )!;
    await by('control-restore').click();
    await by(`restore-${'checkpointId' in saved ? saved.checkpointId : ''}`).click();
    // Restoring ends the run, so the page asks first, also for a paused run.
    await by('restore-confirm').click();
    const parent = runId;
    const branch = await until('the branch', async () => {
      const id = new URL(page.url()).searchParams.get('run');
      return id !== null && id !== parent && RunId.parse(id);
    });
    const { name } = (await client.run(parent)).description;
    expect(await client.run(branch)).toMatchObject({
      description: { name: branchName(name, saved.step) },
      parent: { runId: parent, step: saved.step },
    });
    await client.step(branch, saved.step + 5);
    const { series } = await client.history(branch, '&metric=train/loss');
    expect(series['train/loss']!.steps[0]).toBe(saved.step + 1);
    expect((await client.run(parent)).state).toBe('stopped');
    runId = branch;
  });

  it('compares the branch and its parent, with links to each other', async () => {
    const { parent } = await client.run(runId);
    await until('the link to the parent', async () => /From the browser/.test(await by('parent-link').innerText()));
    await page.goto(`${hub.url}/runs/?run=${parent!.runId}`);
    await until('the link to the branch', async () => (await by('branches').locator('a').count()) > 1);
    await page.goto(hub.url);
    await by(`tick-${parent!.runId}`).check();
    await by(`tick-${runId}`).check();
    await by('compare').click();
    await by('compare-page').waitFor();
    for (const chart of ['held-out', 'target-counting', 'bias', 'kl', 'loss'])
      await until(`both runs' ${chart}`, async () => {
        const legend = by(`compare-${chart}`).locator('.chart-legend b');
        const values = await legend.allInnerTexts();
        return values.length >= 2 && values.slice(0, 2).every((value) => /\d/.test(value));
      });
    const rows = by('compare-table').locator('tbody tr');
    expect(await rows.count()).toBe(2);
    // The branch took over its parent's changes from before the checkpoint.
    for (const row of await rows.all())
      await until('what changed in mid-run', async () => /SA Proj at \d+/.test(await row.innerText()));
    await page.goto(`${hub.url}/runs/?run=${runId}`);
    await runIs('running|paused');
  });

  it('names a missing run of a comparison, and shows the others', async () => {
    await page.goto(`${hub.url}/compare?run=nope&run=${runId}`);
    await by('compare-page').waitFor();
    expect(await by('compare-missing').innerText()).toMatch(/no run nope\b/);
    expect(await by('compare-table').locator('tbody tr').count()).toBe(1);
    await page.goto(`${hub.url}/compare?run=nope`);
    await page.getByRole('heading', { name: 'No run nope' }).waitFor();
    expect(await page.locator('.chart').count()).toBe(0);
    await page.locator('main').getByRole('link', { name: 'All runs' }).click();
    await by('new-run').first().waitFor();
    await page.goto(`${hub.url}/runs/?run=${runId}`);
    await runIs('running|paused');
  });

  it('lists only the kinds of entries that are switched on, also after a reload', async () => {
    const kind = (name: string): Locator => by(`timeline-kind-${name}`);
    for (const name of ['command', 'stage', 'checkpoint', 'run']) await kind(name).click();
    await page.reload();
    await by('timeline-all').waitFor();
    expect(await by('timeline').count()).toBe(0);
    await kind('run').click();
    // Live entries may appear before earlier ones.
    await by('timeline').waitFor();
    expect(await by('timeline').locator('li').allInnerTexts()).toEqual([expect.stringContaining('Started')]);
    for (const name of ['command', 'stage', 'checkpoint']) await kind(name).click();
    expect(await by('timeline').locator('li').count()).toBeGreaterThan(1);
  });

  it('is no wider than a phone with a long name in the sticky bar', async () => {
    const desktop = page.viewportSize()!;
    await page.setViewportSize({ width: 390, height: 844 });
    await page.mouse.move(200, 600);
    await page.mouse.wheel(0, 900);
    const bar = page.locator('.control-run[data-shown="true"]');
    await bar.waitFor();
    expect(await bar.locator('b').innerText()).toMatch(/^From the browser, from step/);
    const [content, screen] = await page.evaluate(() => {
      const { scrollWidth, clientWidth } = document.documentElement;
      return [scrollWidth, clientWidth] as const;
    });
    expect(content).toBe(screen);
    await page.setViewportSize(desktop);
  });

  it('applies another theme to charts out of sight, too', async () => {
    await page.evaluate(() => window.scrollTo(0, 0));
    const last = by('chart-probe-cost').locator('canvas').first();
    expect((await last.boundingBox())!.y).toBeGreaterThan(page.viewportSize()!.height);
    const picture = (): Promise<string> => last.evaluate((canvas: HTMLCanvasElement) => canvas.toDataURL());
    if (await by('control-pause').isVisible()) await by('control-pause').click();
    await runIs('paused');
    const before = await picture();
    await by('theme-toggle').click();
    await until('the other colours', async () => (await picture()) !== before);
    await by('theme-toggle').click();
    await until('the first colours', async () => (await picture()) === before);
  });

  it('stops, with every event stored once and every command ended', async () => {
    await by('control-stop').click();
    await by('control-stop-confirm').click();
    await runIs('stopped');
    for (const id of [runId, (await client.run(runId)).parent!.runId]) {
      expect(holes(await client.history(id), await client.controlEvents(id))).toEqual([]);
      for (const { state } of await client.commands(id)) expect(state).not.toBe('pending');
    }
    // Chromium reports the refused POST of a used link as an error; there must be no other.
    expect(errors.filter((text) => !/401|403/.test(text))).toEqual([]);
  });

  it('is deleted from the list only together with its branch, and a page that shows it says so', async () => {
    const { runId: parent } = (await client.run(runId)).parent!;
    const shown = await browser.newPage();
    await shown.goto(`${hub.url}/runs/?run=${parent}`);
    await shown.getByTestId('live-page').waitFor();
    await page.goto(hub.url);
    await by(`tick-${parent}`).check();
    await by('delete').click();
    expect(await by('delete-stays').innerText()).toContain(`a branch that goes on from it: ${runId}.`);
    expect(await by('delete-confirm').count()).toBe(0);
    await page.keyboard.press('Escape');

    await by(`tick-${runId}`).check();
    await by('delete').click();
    await until('both to be listed', async () => (await by('delete-goes').locator('li').count()) === 2);
    // The focus is on the button that keeps them: deletion takes a further step.
    await page.keyboard.press('Enter');
    await until('the dialog to be gone', async () => (await page.locator('dialog[open]').count()) === 0);
    expect((await client.runs()).map((run) => run.runId)).toEqual(expect.arrayContaining([parent, runId]));
    await by('delete').click();
    // The page first asks the hub for their families.
    await by('delete-goes').waitFor();
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    expect(await by('deleted-notice').innerText()).toMatch(/^Deleted 2 runs: [\d,]+ events, \d+\.\d MB of checkpoints/);
    for (const id of [parent, runId]) {
      await by(`run-${id}`).waitFor({ state: 'detached' });
      await expect(client.run(id)).rejects.toMatchObject({ status: 404 });
      expect(existsSync(join(hub.dataDir, 'runs', id))).toBe(false);
    }
    await shown.getByTestId('run-deleted').getByRole('link').click();
    await shown.getByRole('heading', { name: 'Runs', exact: true }).waitFor();
    await shown.close();
  });
});
