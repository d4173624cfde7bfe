import type { ModelRecipe } from '@plumbline/shared/parameter';
import type { CommandRecord } from '@plumbline/shared/command';
import { formatStep } from '../../charts/format';
import { actionWords } from '../../lib/words';
import { useRun } from '../live/use-run';

/** The last command and its outcome: `Pause applied at step 1,145`. */
export function Outcome({
  record,
  testId,
  suffix = '',
}: {
  record: CommandRecord | undefined;
  testId: string;
  /** The result of an applied command. */
  suffix?: string;
}): React.ReactNode {
  const { store } = useRun();
  return (
    <span className="outcome" role="status" data-state={record?.state} data-testid={testId}>
      {record && outcomeWords(record, store.recipes) + suffix}
    </span>
  );
}

function outcomeWords({ action, state, step, reason }: CommandRecord, recipes: readonly ModelRecipe[]): string {
  const what = actionWords(action, recipes);
  switch (state) {
    case 'pending':
      return `${what}: waiting for the trainer …`;
    case 'applied':
      return step === null ? `${what} applied` : `${what} applied at step ${formatStep(step)}`;
    case 'rejected':
    case 'failed':
    case 'expired':
      return `${what} ${state}: ${reason}`;
  }
}
