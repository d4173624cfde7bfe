import type { Browser, Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openBrowser } from '../support/browser.js';
import { HubProcess } from '../support/hub-process.js';

/** A rule from the form to its effect: a real browser, the real hub, the real trainer. */
describe('a guard rule from a browser', () => {
  let hub: HubProcess;
  let browser: Browser;
  let page: Page;
  const errors: string[] = [];
  const by = (id: string): Locator => page.getByTestId(id);

  beforeAll(async () => {
    hub = await HubProcess.start({ prepare: true });
    browser = await openBrowser();
    page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
    page.setDefaultTimeout(120_000);
    page.on('pageerror', (error) => errors.push(error.message));
    await page.goto(`${hub.url}/?token=${hub.token}`);
  });
  afterAll(async () => {
    await browser?.close();
    await hub?.remove();
  });

  it('is edited in the form, which says what is wrong with it', async () => {
    await by('new-run').first().click();
    await by('new-run-rules').locator('summary').click();
    await by('rule-preset-0').click();
    await by('rule-preset-2').click();
    expect(await by('rule-0-metric').inputValue()).toBe('held_out/mean/accuracy');
    await by('rule-1-name').fill('Any loss');
    await by('new-run-start').click();
    await by('rule-1-errors').waitFor();
    expect(await by('rule-1-errors').innerText()).toBe('Limit: Give a number.');
    expect(await by('rule-1-limit').getAttribute('aria-invalid')).toBe('true');
    await by('rule-1-limit').fill('0');
    expect(await by('rule-1-errors').count()).toBe(0);
  });

  it('refuses a notification that the hub would not send, and says what to set', async () => {
    await by('rule-1-action-0').selectOption('notify');
    await by('rule-1').locator('input[placeholder="https://"]').fill('https://hooks.example.org/x');
    await by('new-run-start').click();
    await page.getByText('"Any loss" cannot notify').waitFor();
    expect(await page.getByRole('alert').filter({ hasText: 'cannot notify' }).innerText()).toMatch(
      /set PLUMBLINE_WEBHOOK_SECRET/,
    );
    await by('rule-1-action-0').selectOption('pause');
  });

  it('acts, and the page shows that it has fired, what it did and why', async () => {
    await by('new-run-start').click();
    await by('live-page').waitFor();
    await by('rule-state-Held-out drop').getByText('armed', { exact: true }).waitFor();
    await by('rule-state-Any loss').getByText('fired at step 1', { exact: true }).waitFor();
    await by('run-state').getByText('Paused').waitFor();
    const line = by('timeline').locator('li', { hasText: 'Pause' });
    await line.locator('xpath=self::*[@data-state="applied"]').waitFor();
    expect(await line.innerText()).toMatch(/by rule “Any loss”[\s\S]*train\/loss was [\d.]+ at step 1: above 0/);
    expect(errors).toEqual([]);
  });
});
