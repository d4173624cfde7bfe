import type { Browser, Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { HistoryResponse, RulesResponse } from '@plumbline/shared/http';
import { GuardRules } from '@plumbline/shared/rule';
import { CheckpointId, RunId } from '@plumbline/shared/run';
import { openBrowser } from '../support/browser.js';
import { HubClient } from '../support/hub-client.js';
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
    const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
    page = await context.newPage();
    page.setDefaultTimeout(120_000);
    page.on('pageerror', (error) => errors.push(error.message));
    await page.goto(`${hub.url}/?token=${hub.token}`);
  });
  afterAll(async () => {
    await browser?.close();
    await hub?.remove();
  });

  it('is edited in the form, which shows its errors', async () => {
    await by('new-run').first().click();
    await by('new-run-rules').locator('summary').click();
    await by('rule-preset-0').click();
    await by('rule-preset-2').click();
    expect(await by('rule-0-metric').inputValue()).toBe('held_out/mean/accuracy');
    await by('rule-1-name').fill('Any loss');
    await by('new-run-start').click();
    await by('rule-1-limit-error').waitFor();
    expect(await by('rule-1-limit-error').innerText()).toBe('Limit: Give a number.');
    expect(await by('rule-1-limit').getAttribute('aria-invalid')).toBe('true');
    await by('rule-1-limit').fill('lots');
    expect(await by('rule-1-limit-error').count()).toBe(0);
    await by('new-run-start').click();
    expect(await by('rule-1-limit-error').innerText()).toBe('Limit: “lots” is not a number.');
    await by('rule-1-limit').fill('0');
  });

  it('is on a series that the run will have', async () => {
    const offered = () =>
      page.locator('datalist option').evaluateAll((all) => all.map((one) => one.getAttribute('value')));
    expect(await offered()).toEqual(expect.arrayContaining(['target/counting/accuracy', 'held_out/chart/accuracy']));
    expect(await offered()).not.toContain('target/kinds/accuracy');
    await by('rule-0-metric').fill('held_out/mean/acuracy');
    await by('new-run-start').click();
    expect(await by('rule-0-metric-error').innerText()).toMatch(/did you mean held_out\/mean\/accuracy\?$/);
    expect(await by('rule-0-metric').getAttribute('aria-invalid')).toBe('true');
    await by('rule-0-metric').fill('held_out/mean/accuracy');
    expect(await by('rule-0-metric-error').count()).toBe(0);
  });

  it('has its limit in the unit of its series and condition', async () => {
    const units = () => by('rule-0').locator('.field-label .dim').allInnerTexts();
    expect(await units()).toEqual(['pp']);
    await by('rule-0-metric').fill('shift/kl');
    await by('rule-0-comparison').selectOption('slope_above');
    expect(await units()).toEqual(['nats/step']);
    await by('rule-0-metric').fill('held_out/mean/accuracy');
    await by('rule-0-comparison').selectOption('below_base');
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

  it('acts, and the page shows that it fired, its effect and the cause', async () => {
    await by('new-run-steps').fill('100000');
    await by('new-run-start').click();
    await by('live-page').waitFor();
    await by('rule-state-Held-out drop').getByText('armed', { exact: true }).waitFor();
    await by('rule-state-Any loss').getByText('fired at step 1', { exact: true }).waitFor();
    await by('run-state').getByText('Paused').waitFor();
    const line = by('timeline').locator('li', { hasText: 'Pause' });
    await line.locator('xpath=self::*[@data-state="applied"]').waitFor();
    expect(await line.innerText()).toMatch(/by rule “Any loss”[\s\S]*train\/loss was [\d.]+ nats at step 1: above 0/);
  });

  it('is removed and another one added during the run', async () => {
    await by('rules-edit').click();
    expect(await by('rule-1-name').inputValue()).toBe('Any loss');
    await by('rule-1-remove').click();
    await by('rule-preset-1').click();
    await by('rule-1-limit').fill('');
    await by('rules-set').click();
    expect(await by('rule-1-limit-error').innerText()).toBe('Limit: Give a number.');
    await by('rule-1-limit').fill('0.9');
    await by('rules-set').click();
    await by('rules-form').waitFor({ state: 'detached' });
    await by('rule-state-Bias drift').getByText('armed', { exact: true }).waitFor();
    expect(await by('rules').locator('article b').allInnerTexts()).toEqual(['Held-out drop', 'Bias drift']);
    const line = by('timeline').locator('li', { hasText: 'Set 2 guard rules' });
    expect(await line.innerText()).toMatch(/step \d+[\s\S]*added Bias drift[\s\S]*removed Any loss/);
    await page.reload();
    await by('rule-state-Bias drift').waitFor();
  });

  it('is not overwritten by someone who opened the rules before it was set', async () => {
    const other = await page.context().newPage();
    await other.goto(page.url());
    await other.getByTestId('rules-edit').click();
    await by('rules-edit').click();
    await by('rule-preset-2').click();
    await by('rule-2-name').fill('Typo');
    await by('rule-2-metric').fill('my/own');
    await by('rule-2-limit').fill('1');
    expect(await by('rule-2-metric-warning').innerText()).toBe('This run has had no value of “my/own” so far.');
    await by('rules-set').click();
    await by('rule-state-Typo').getByText('no values yet', { exact: true }).waitFor();
    const there = (id: string): Locator => other.getByTestId(id);
    await there('rules-problem')
      .getByText(/changed elsewhere meanwhile at step \d+ \(added Typo\)/)
      .waitFor();
    expect(await there('rules-set').isDisabled()).toBe(true);
    // The limit cannot be reached: the run continues for the next test.
    await there('rule-0-limit').fill('100');
    await there('rules-take-in').click();
    expect(await there('rule-0-limit').inputValue()).toBe('100');
    expect(await there('rule-2-name').inputValue()).toBe('Typo');
    await there('rules-set').click();
    await there('rules-form').waitFor({ state: 'detached' });
    await by('rule-state-Held-out drop').getByText('more than 100 below').waitFor();
    expect(await by('rules').locator('article b').allInnerTexts()).toEqual(['Held-out drop', 'Bias drift', 'Typo']);
    await other.close();
  });

  it('that lowered the learning rate does not do so again in the branch, where the change is in force', async () => {
    const [session] = await page.context().cookies();
    const client = HubClient.withCookie(hub, `${session!.name}=${session!.value}`);
    const rules = GuardRules.parse([
      {
        ...{ name: 'slower', metric: 'train/loss', condition: { kind: 'threshold', side: 'above', value: 0 } },
        actions: [{ kind: 'lower_learning_rate', factor: 0.5 }],
      },
    ]);
    const config = { rules, learningRate: 1e-3, schedule: 'constant', warmupSteps: 0, steps: 100_000 } as const;
    const runId = await client.startRun(config);
    await client.until('the lower rate to be in force', async () =>
      (await client.commands(runId)).find(
        ({ action: { kind }, state }) => kind === 'lower_learning_rate' && state === 'applied',
      ),
    );
    const { step, after } = await client.commandEnd(runId, { kind: 'save_checkpoint' });
    const { action } = await client.commandEnd(runId, {
      kind: 'restore_checkpoint',
      checkpointId: CheckpointId.parse(after?.['checkpoint']),
    });
    const branchRunId = action.kind === 'restore_checkpoint' ? action.branchRunId! : runId;
    await client.until('the branch', () => client.run(branchRunId).catch(() => undefined));
    await client.step(branchRunId, step! + 5);
    const { series } = await client.get<HistoryResponse>(`/runs/${branchRunId}/history?metric=train/learning_rate`);
    expect(series['train/learning_rate']!.values.every((rate) => rate === 5e-4)).toBe(true);
    expect((await client.get<RulesResponse>(`/runs/${branchRunId}/rules`)).rules).toMatchObject([
      { armed: false, firings: 1, last: { step: 1 } },
    ]);
    await client.commandEnd(branchRunId, { kind: 'stop' });
    client.close();
  });

  it('goes along with a restored run; the dialog closes if the run ends meanwhile', async () => {
    await by('control-resume').click();
    await by('run-state').getByText('Running').waitFor();
    await by('control-restore').click();
    expect(await by('restore-says').innerText()).toMatch(
      /Its guard rules go along as they are now: one that has not been changed since stands as it stood then/,
    );
    await by('restore-step-000000').click();
    await by('restore-confirm').waitFor();
    // Checkpoints come and go meanwhile: the question stays at its row.
    const rows = () => page.locator('.checkpoint-list li b').allInnerTexts();
    const asked = await rows();
    await by('restore-newer').waitFor();
    expect(await rows()).toEqual(asked);
    expect(await by('restore-confirm').count()).toBe(1);
    const [session] = await page.context().cookies();
    const client = HubClient.withCookie(hub, `${session!.name}=${session!.value}`);
    const runId = RunId.parse(new URL(page.url()).searchParams.get('run'));
    await client.commandEnd(runId, { kind: 'stop' });
    client.close();
    await by('restore-says').getByText('This run has ended (stopped)').waitFor();
    expect(await by('restore-confirm').count()).toBe(0);
    await by('restore-step-000000').click();
    await by('new-run-rules').getByText('Guard rules (3)').waitFor();
    expect(await by('rule-1-name').inputValue()).toBe('Bias drift');
    await by('new-run-form').getByText('Cancel').click();
    await by('rule-state-Typo').getByText('never had values', { exact: true }).waitFor();
    await by('rule-state-Bias drift').getByText('did not fire', { exact: true }).waitFor();
    expect(errors).toEqual([]);
  });
});
