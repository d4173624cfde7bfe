import { isDeepStrictEqual } from 'node:util';
import type { CommandRecord, GivenAction, GivenCommand } from '@plumbline/shared/command';
import { isRuleAuthor } from '@plumbline/shared/rule';
import { asStored } from './admission.js';
import { Refusal } from './refusal.js';

/**
 * Refuses an id that was used for another command. The ids of rules follow from events, so those are never others.
 * @throws Refusal `conflict`
 */
export function refuseOtherUse({ commandId, runId, action }: GivenCommand, known: CommandRecord, author: string): void {
  if (isRuleAuthor(author)) return;
  const said =
    known.runId !== runId
      ? `for the run ${known.runId}`
      : isSameAction(action, known.action)
        ? null
        : `for another command, ${known.action.kind}${known.action.kind === action.kind ? ' with other arguments' : ''},`;
  if (said === null) return;
  throw new Refusal('conflict', `The command id ${commandId} was used ${said} before. Make a new id.`);
}

/** Compares an asked action with a recorded one, which the hub may have completed. */
function isSameAction(asked: GivenAction, recorded: GivenAction): boolean {
  if (asked.kind === 'set_rules' && recorded.kind === 'set_rules')
    return isDeepStrictEqual(asStored(asked.rules), asStored(recorded.rules));
  if (asked.kind === 'restore_checkpoint' && recorded.kind === 'restore_checkpoint')
    return isDeepStrictEqual(
      asStored({ ...asked, branchRunId: asked.branchRunId ?? recorded.branchRunId }),
      asStored(recorded),
    );
  return isDeepStrictEqual(asStored(asked), asStored(recorded));
}
