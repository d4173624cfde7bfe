import { useId } from 'react';
import { targetLabels, targetTaskNames, type TargetTask } from '@plumbline/shared/built-in/tasks';
import { taskSays } from '../../lib/words';

/** The skills to teach, in the order in which they are chosen. */
export function TaskSequence({
  tasks,
  error,
  onChange,
}: {
  tasks: readonly TargetTask[];
  error: string | undefined;
  onChange: (tasks: TargetTask[]) => void;
}): React.ReactNode {
  const errorId = useId();
  return (
    <fieldset className="choice">
      <legend className="field-label">
        Tasks to learn <span className="dim">one after another, in the order you choose them</span>
      </legend>
      {targetTaskNames.map((task) => {
        const at = tasks.indexOf(task);
        return (
          <label key={task} className="choice-card" data-testid={`new-run-task-${task}`}>
            <input
              type="checkbox"
              name="tasks"
              checked={at >= 0}
              aria-invalid={error !== undefined}
              aria-describedby={error === undefined ? undefined : errorId}
              onChange={() => onChange(at >= 0 ? tasks.filter((other) => other !== task) : [...tasks, task])}
            />
            <b>{targetLabels[task]}</b>
            <span>{taskSays[task]}</span>
            <i className="choice-order">{at >= 0 && at + 1}</i>
          </label>
        );
      })}
      {error !== undefined && (
        <p className="field-error" id={errorId} data-testid="new-run-tasks-error">
          {error}
        </p>
      )}
    </fieldset>
  );
}
