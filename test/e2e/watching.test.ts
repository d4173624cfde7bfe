import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Browser, Page } from 'playwright-core';
import { io } from 'socket.io-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { protocolVersion } from '@plumbline/shared/socket';
import { openBrowser } from '../support/browser.js';
import { FaultyProxy } from '../support/faulty-proxy.js';
import { HubProcess } from '../support/hub-process.js';
import { aRunId, attachment, finished, started, type TrainerEnd } from '../support/test-hub.js';

/** A hub that shows its runs only to browsers that opened a link. Uses the last build of the dashboard. */
describe('a hub that asks for a link', () => {
  const runId = aRunId();
  let hub: HubProcess;
  let browser: Browser;
  let page: Page;
  beforeAll(async () => {
    hub = await HubProcess.start({ env: { PLUMBLINE_WATCH: 'session' } });
    const token = hub.trainerToken;
    const trainer: TrainerEnd = io(`${hub.url}/trainer`, { auth: { token, protocol: protocolVersion } });
    await trainer.emitWithAck('attach', attachment(runId));
    await trainer.emitWithAck('events', { events: [started(), finished(2)] });
    trainer.disconnect();
    browser = await openBrowser();
    page = await browser.newPage();
  });
  afterAll(async () => {
    await browser?.close();
    await hub?.remove();
  });

  it.each(['/', `/runs/?run=${runId}`, `/compare/?run=${runId}`])(
    'shows a browser without one how to get it (%s)',
    async (path) => {
      await page.goto(hub.url + path);
      await page.getByTestId('link-needed').waitFor();
      const text = await page.locator('body').innerText();
      expect(text).toContain('npm run plumbline -- link');
      expect(text).not.toContain(hub.dataDir);
      expect(text).not.toContain('Hub down');
    },
  );

  it('shows a browser with one its runs', async () => {
    await page.goto(`${hub.url}/?token=${hub.token}`);
    await page.getByText(runId).first().waitFor();
    expect(await page.getByTestId('link-needed').count()).toBe(0);
    await page.getByText('Hub connected').waitFor();
  });

  it('answers the programs on its data folder', async () => {
    const plumbline = (...args: string[]) =>
      promisify(execFile)(process.execPath, ['server/dist/cli.js', ...args, '--data-dir', hub.dataDir]);
    expect((await plumbline('findings', runId)).stdout).toContain('Nothing stands out');
    expect((await plumbline('export', runId, '--out', join(hub.dataDir, 'out.jsonl'))).stdout).toContain('Exported');
    const backups = mkdtempSync(join(tmpdir(), 'plumbline-backup-'));
    expect((await plumbline('backup', join(backups, 'one'))).stdout).toContain('files');
    rmSync(backups, { recursive: true });
    expect((await plumbline('delete', runId, '--yes')).stdout).toContain(`Deleted ${runId}`);
  });
});

describe('a page whose line to the hub dies without a sign', () => {
  it('says so and connects again', async () => {
    const hub = await HubProcess.start();
    const proxy = await FaultyProxy.start(hub.port);
    const browser = await openBrowser();
    try {
      const page = await browser.newPage();
      await page.goto(proxy.url);
      await page.getByText('Hub connected').waitFor();
      proxy.become({ kind: 'half-open' });
      await page.getByText('Hub down').waitFor();
      proxy.become({ kind: 'healthy' });
      await page.getByText('Hub connected').waitFor();
    } finally {
      await browser.close();
      await hub.remove();
      await proxy.close();
    }
  });
});
