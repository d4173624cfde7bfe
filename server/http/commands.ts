import { Router, type Request, type Response } from 'express';
import { CommandId, type CommandRecord } from '@plumbline/shared/command';
import {
  cliUserAgent,
  GiveCommandQuery,
  GiveCommandRequest,
  type CommandResponse,
  type RulesResponse,
} from '@plumbline/shared/http';
import { RunId } from '@plumbline/shared/run';
import type { Sessions } from '../access/sessions.js';
import { Refusal } from '../run/refusal.js';
import type { RunRegistry } from '../run/registry.js';
import { CommandEnds } from './command-ends.js';
import { heavy, type ReadParts } from './heavy-read.js';
import { JsonAnswer } from './json-answer.js';
import { callerOf, limited } from './request-budget.js';
import { dashboardBudgets } from '../access/limits.js';
import { mayOperate } from './session.js';

export interface CommandParts extends ReadParts {
  runs: RunRegistry;
  sessions: Sessions;
  token: string;
}

/**
 * POST /api/runs/:runId/commands: gives a command, as the dashboard does over its socket. Repeating a command
 *   returns the record of the first one; its id with another action is a 409. Answers 200 with the record once the command has ended, however it ended, and 202 while
 *   it is pending. `?waitMs=` waits that long for the end.
 * GET /api/runs/:runId/commands: the audit log, oldest first, a `CommandsResponse`; with /:commandId one of its lines
 * GET /api/runs/:runId/rules: the states of the run's rules
 */
export function commandRoutes({ runs, sessions, token, reads }: CommandParts): Router {
  const ends = new CommandEnds(runs);

  const answer = async (request: Request, response: Response, record: CommandRecord): Promise<void> => {
    const { waitMs } = GiveCommandQuery.parse(request.query);
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    const command = await ends.wait(record, waitMs, gone.signal);
    response.status(command.state === 'pending' ? 202 : 200).json({ command } satisfies CommandResponse);
  };

  return Router()
    .post(
      '/runs/:runId/commands',
      limited(dashboardBudgets.command),
      mayOperate(sessions, token),
      async (request, response) => {
        const runId = RunId.parse(request.params['runId']);
        // Checked before the command is given.
        GiveCommandQuery.parse(request.query);
        if (!request.is('application/json'))
          throw new Refusal('invalid', 'Send the command as JSON, with the header Content-Type: application/json.');
        const { runId: named = runId, ...asked } = GiveCommandRequest.parse(request.body);
        if (named !== runId)
          throw new Refusal('invalid', `The command names the run ${named}, but the address names ${runId}.`);
        const record = await runs.command({ ...asked, runId }, authorOf(request, response));
        await answer(request, response, record);
      },
    )
    .get('/runs/:runId/commands/:commandId', async (request, response) => {
      const runId = RunId.parse(request.params.runId);
      const commandId = CommandId.parse(request.params.commandId);
      await runs.get(runId);
      const record = await runs.store.command(commandId);
      if (record?.runId !== runId)
        throw new Refusal('not_found', `The run ${runId} was given no command ${commandId}.`);
      await answer(request, response, record);
    })
    .get(
      '/runs/:runId/commands',
      heavy(reads.answers, async (request, response, signal) => {
        const runId = RunId.parse(request.params['runId']);
        await runs.get(runId);
        const answer = new JsonAnswer(response, signal);
        await answer.write('{"commands":[');
        await runs.store.eachCommands(runId, answer.list(), signal);
        answer.end(']}');
      }),
    )
    .get(
      '/runs/:runId/rules',
      // For an ended run this reads the series that its rules watch.
      heavy(reads.answers, async (request, response, signal) => {
        const rules = await runs.ruleStates(RunId.parse(request.params['runId']), signal);
        response.json({ rules } satisfies RulesResponse);
      }),
    );
}

/** The author of a command in the audit log: a browser's session, the command line, or another program. */
function authorOf(request: Request, response: Response): 'dashboard' | 'cli' | 'api' {
  if (callerOf(response).kind === 'session') return 'dashboard';
  return request.get('user-agent')?.startsWith(`${cliUserAgent}/`) ? 'cli' : 'api';
}
