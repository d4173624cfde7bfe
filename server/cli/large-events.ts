import type { LargeEventsResponse } from '@plumbline/shared/http';
import type { Example, Examples, LargeEvent, TokenShift } from '@plumbline/shared/large-event';
import { visibleLine } from '@plumbline/shared/plain-text';
import type { RunSummary } from '@plumbline/shared/run';
import type { HubApi } from '../hub-api.js';
import { table } from './table.js';

/** Prints the newest token shifts or examples of a run, one event per task. */
export async function showLarge(
  hub: HubApi,
  { runId }: Pick<RunSummary, 'runId'>,
  { tokens, json }: { tokens?: true; json?: true },
  say: (line: string) => void,
): Promise<void> {
  const path = `/runs/${runId}/${tokens ? 'token-shifts' : 'examples'}`;
  const { events } = await hub.get<LargeEventsResponse<LargeEvent>>(path);
  const newest = [...new Map(events.map((event) => [subjectOf(event), event])).values()];
  if (json) return say(JSON.stringify(newest));
  if (newest.length === 0) return say(`Its trainer has sent no ${tokens ? 'token shifts' : 'examples'}.`);
  for (const event of newest) {
    say(visibleLine(`${subjectOf(event)}, step ${event.step}`));
    for (const line of event.type === 'token_shift' ? tokenLines(event) : exampleLines(event)) say(line);
  }
}

const subjectOf = (event: LargeEvent): string => (event.type === 'token_shift' ? event.prompts : event.task);

/** Lines of a token shift, from the largest gain to the largest loss. */
function tokenLines({ tokens }: TokenShift): string[] {
  const rows = [...tokens]
    .sort((a, b) => b.now - b.base - (a.now - a.base))
    .map(({ token, id, base, now }) => [JSON.stringify(token), String(id), probability(base), probability(now)]);
  return table(['TOKEN', 'ID', 'BASE', 'NOW'], rows, [1, 2, 3]);
}
const probability = (value: number): string => value.toPrecision(3);

function exampleLines({ examples }: Examples): string[] {
  const rows = examples.map(({ exampleId, prompt, expected, base, now }) => [
    exampleId,
    prompt,
    expected ?? '',
    answerOf(base),
    answerOf(now),
  ]);
  return table(
    ['EXAMPLE', 'PROMPT', 'EXPECTED', 'BASE', 'NOW'],
    rows.map((row) => row.map(shortened)),
  );
}
const answerOf = (given: Example['now']): string =>
  given === undefined ? '' : `${given.answer}${given.right === undefined ? '' : given.right ? ' (right)' : ' (wrong)'}`;

const shownLength = 50;
const shortened = (text: string): string => (text.length > shownLength ? `${text.slice(0, shownLength)}…` : text);
