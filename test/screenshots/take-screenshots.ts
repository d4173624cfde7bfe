import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium, type Browser, type Page } from 'playwright-core';
import type { RunId } from '@plumbline/shared/run';
import { HubClient } from '../support/hub-client.js';
import { HubProcess } from '../support/hub-process.js';

/**
 * Makes the pictures of the README: a real run of the built-in trainer on the shipped base model, which learns counting
 * with everything trainable, then with the MLP frozen during the run and a lower learning rate. `npm run screenshots`;
 * CHROMIUM names the browser if it is not at /usr/bin/chromium.
 */
const folder = fileURLToPath(new URL('../../../docs/', import.meta.url));
const desktop = { width: 1440, height: 900 };
const phone = { width: 390, height: 844 };

const hub = await HubProcess.start({ prepare: true });
let browser: Browser | undefined;
try {
  const client = await HubClient.open(hub);
  browser = await chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
  await mkdir(folder, { recursive: true });
  const runId = await client.startRun({
    name: 'Counting',
    recipe: 'full',
    learningRate: 1e-3,
    steps: 320,
    probeEverySteps: 8,
  });
  await client.step(runId, 120);
  await client.commandEnd(runId, { kind: 'set_trainable', selection: { kind: 'recipe', recipe: 'sa_proj' } });
  await client.step(runId, 190);
  await client.commandEnd(runId, { kind: 'set_learning_rate', learningRate: 3e-4 });
  await client.step(runId, 270);

  for (const theme of ['light', 'dark'] as const) {
    const page = await openPage(browser, client, theme, desktop);
    await showRun(page, runId);
    await page.screenshot({ path: join(folder, theme === 'light' ? 'live.png' : 'live-dark.png') });
    await page.context().close();
  }
  const small = await openPage(browser, client, 'light', phone);
  await showRun(small, runId);
  await small.screenshot({ path: join(folder, 'live-phone.png') });
  const list = await openPage(browser, client, 'light', { width: 1280, height: 640 });
  await list.goto(hub.url);
  await list.getByTestId(`run-${runId}`).locator('.sparkline').first().waitFor();
  await list.getByTestId('new-run').click();
  await list.screenshot({ path: join(folder, 'new-run.png') });
  client.close();
  console.log(`Pictures are in ${folder}`);
} finally {
  await browser?.close();
  await hub.remove();
}

async function openPage(
  from: Browser,
  client: HubClient,
  colorScheme: 'light' | 'dark',
  viewport: { width: number; height: number },
): Promise<Page> {
  const context = await from.newContext({ colorScheme, viewport, deviceScaleFactor: 1.5 });
  const [name, value] = client.cookie.split('=', 2) as [string, string];
  await context.addCookies([{ name, value, url: client.hub.url }]);
  return context.newPage();
}

async function showRun(page: Page, runId: RunId): Promise<void> {
  await page.goto(`${hub.url}/runs/?run=${runId}`);
  await page.locator('[data-testid="live-page"][data-phase="live"]').waitFor();
  await page.locator('[data-testid="chart-loss"] .chart-plot:not([data-points="0"])').waitFor();
  await page.waitForTimeout(800); // the charts' next frames
}
