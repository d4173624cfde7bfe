'use client';
import { useRouter } from 'next/navigation';
import { useEffect, useId, useRef, useState, type FormEvent } from 'react';
import {
  RunConfig,
  backends,
  targetTasks,
  type CheckpointId,
  type RunId,
  type TargetTask,
} from '@plumbline/shared/run';
import { recipes } from '@plumbline/shared/parameter';
import { api } from '../../lib/api';
import { recipeWords, sequenceWords, taskWords } from '../../lib/words';
import { RuleEditor } from '../rules/RuleEditor';
import { readRules, toRuleForm, type RuleErrors, type RuleForm } from '../rules/rule-form';
import { readForm, toForm, type Asked, type RunForm, type RunFormErrors } from './run-form';
import './new-run.css';

const blank = toForm(RunConfig.parse({ name: 'new run' }));

/** A checkpoint of another run that the new one starts from, and that run's configuration to start the form with. */
export interface StartingPoint {
  runId: RunId;
  checkpointId: CheckpointId;
  step: number;
  config: RunConfig;
}

/** Starts a run of the built-in trainer, from the base model or from a checkpoint, and goes to its page. */
export function NewRunDialog({ from, onClose }: { from?: StartingPoint; onClose: () => void }): React.ReactNode {
  const router = useRouter();
  const dialog = useRef<HTMLDialogElement>(null);
  const [form, setForm] = useState<RunForm>(from ? toForm(from.config) : { ...blank, name: '' });
  const [errors, setErrors] = useState<RunFormErrors>({});
  const [rules, setRules] = useState<RuleForm[]>(from ? from.config.rules.map(toRuleForm) : []);
  const [ruleErrors, setRuleErrors] = useState<RuleErrors[]>([]);
  const [starting, setStarting] = useState(false);
  const [refusal, setRefusal] = useState('');

  useEffect(() => dialog.current?.showModal(), []);
  useEffect(() => {
    if (from) return;
    let gone = false;
    api.catalog().then(
      ({ defaults }) => !gone && setForm((now) => ({ ...toForm(defaults), name: now.name })),
      (error: unknown) => !gone && setRefusal(error instanceof Error ? error.message : String(error)),
    );
    return () => {
      gone = true;
    };
  }, [from]);

  const set =
    <K extends keyof RunForm>(key: K) =>
    (value: RunForm[K]) => {
      setForm((now) => ({ ...now, [key]: value }));
      setErrors(({ [key]: _, ...others }) => others);
      // It was said of another form than this now is.
      setRefusal('');
    };
  const suggestedName = `${sequenceWords(form.tasks)}, ${recipeWords[form.recipe as RunConfig['recipe']].name}`;
  const submit = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    const read = readForm({ ...form, name: form.name.trim() || suggestedName });
    const readOfRules = readRules(rules);
    if (!read.ok || !readOfRules.ok) {
      if (!read.ok) setErrors(read.errors);
      if (!readOfRules.ok) setRuleErrors(readOfRules.errors);
      // Of what is marked as wrong, the first; marked when the errors are shown.
      requestAnimationFrame(() => {
        const field = dialog.current?.querySelector<HTMLElement>('[aria-invalid="true"]');
        field?.closest('details')?.setAttribute('open', '');
        field?.focus();
      });
      return;
    }
    setStarting(true);
    setRefusal('');
    try {
      const run = await api.startRun({
        config: { ...read.config, rules: readOfRules.rules },
        ...(from ? { from: { runId: from.runId, checkpointId: from.checkpointId } } : {}),
      });
      router.push(`/runs/?run=${run.runId}`);
      dialog.current?.close();
    } catch (error) {
      setRefusal(error instanceof Error ? error.message : String(error));
      setStarting(false);
    }
  };
  const field = (key: Asked, label: string, hint?: string): React.ReactNode => (
    <Field name={key} label={label} hint={hint} value={form[key]} error={errors[key]} onChange={set(key)} />
  );

  return (
    <dialog ref={dialog} className="sheet" aria-labelledby="new-run-title" onClose={onClose}>
      <form onSubmit={(event) => void submit(event)} noValidate data-testid="new-run-form">
        <header className="sheet-head">
          <h2 id="new-run-title">{from ? `New run from step ${from.step}` : 'New run'}</h2>
          <p>
            {from
              ? `Goes on from ${from.checkpointId} with the settings below; steps count from the base model.`
              : 'Fine-tunes the base model on one new skill while what it knew before is measured.'}
          </p>
        </header>
        <div className="sheet-body">
          <Field
            name="name"
            label="Name"
            value={form.name}
            error={errors.name}
            onChange={set('name')}
            placeholder={suggestedName}
          />
          <TaskSequence tasks={form.tasks} error={errors.tasks} onChange={set('tasks')} />
          <Choice
            legend="Recipe: what is trained"
            name="recipe"
            value={form.recipe}
            onChange={set('recipe')}
            options={recipes.map((recipe) => ({ value: recipe, ...recipeWords[recipe] }))}
          />
          <div className="field-row">
            {field('learningRate', 'Learning rate')}
            {field('steps', 'Steps', form.tasks.length > 1 ? 'a task' : undefined)}
            {field('seed', 'Seed')}
          </div>
          <details>
            <summary>More settings</summary>
            <div className="field-row">
              {field('warmupSteps', 'Warm-up steps')}
              {field('batchSize', 'Batch size')}
              {field('weightDecay', 'Weight decay')}
              {field('maxGradientNorm', 'Max gradient norm')}
              {field('probeEverySteps', 'Probe every', 'steps')}
              {field('checkpointEverySteps', 'Checkpoint every', 'steps')}
              {field('evaluationQuestions', 'Evaluate', 'questions a task')}
            </div>
            <div className="field-row">
              <Choice
                legend="Schedule"
                name="schedule"
                value={form.schedule}
                onChange={set('schedule')}
                options={['cosine', 'constant'].map((value) => ({ value, name: value }))}
              />
              <label className="field">
                <span className="field-label">Backend</span>
                <select
                  className="field-input"
                  name="backend"
                  value={form.backend}
                  onChange={(event) => set('backend')(event.target.value)}
                >
                  {backends.map((backend) => (
                    <option key={backend} value={backend}>
                      {backend === 'auto' ? 'best there is' : backend}
                    </option>
                  ))}
                </select>
              </label>
            </div>
          </details>
          <details open={from && from.config.rules.length > 0} data-testid="new-run-rules">
            <summary>Guard rules{rules.length > 0 && ` (${rules.length})`}</summary>
            <RuleEditor
              rules={rules}
              errors={ruleErrors}
              onChange={(changed) => {
                setRules(changed);
                setRuleErrors([]);
                setRefusal('');
              }}
            />
          </details>
        </div>
        <footer className="sheet-foot">
          <p className="push field-error" role="alert">
            {refusal}
          </p>
          <button type="button" className="button" onClick={() => dialog.current?.close()}>
            Cancel
          </button>
          <button type="submit" className="button primary" disabled={starting} data-testid="new-run-start">
            {starting ? 'Starting …' : 'Start run'}
          </button>
        </footer>
      </form>
    </dialog>
  );
}

function Field({
  name,
  label,
  hint,
  value,
  error,
  placeholder,
  onChange,
}: {
  name: string;
  label: string;
  hint?: string | undefined;
  value: string;
  error: string | undefined;
  placeholder?: string;
  onChange: (value: string) => void;
}): React.ReactNode {
  const id = useId();
  return (
    <div className="field">
      <label className="field-label" htmlFor={id}>
        {label} {hint && <span className="dim">{hint}</span>}
      </label>
      <input
        id={id}
        name={name}
        className="field-input"
        value={value}
        placeholder={placeholder}
        autoComplete="off"
        aria-invalid={error !== undefined}
        aria-describedby={error === undefined ? undefined : `${id}-error`}
        onChange={(event) => onChange(event.target.value)}
        data-testid={`new-run-${name}`}
      />
      {error !== undefined && (
        <p className="field-error" id={`${id}-error`} data-testid={`new-run-${name}-error`}>
          {error}
        </p>
      )}
    </div>
  );
}

/** The skills to teach; each one that is added is taught after those before it. */
function TaskSequence({
  tasks,
  error,
  onChange,
}: {
  tasks: readonly TargetTask[];
  error: string | undefined;
  onChange: (tasks: TargetTask[]) => void;
}): React.ReactNode {
  return (
    <fieldset className="choice">
      <legend className="field-label">
        Tasks to learn <span className="dim">one after another, in the order you choose them</span>
      </legend>
      {targetTasks.map((task) => {
        const at = tasks.indexOf(task);
        return (
          <label key={task} className="choice-card" data-testid={`new-run-task-${task}`}>
            <input
              type="checkbox"
              name="tasks"
              checked={at >= 0}
              onChange={() => onChange(at >= 0 ? tasks.filter((other) => other !== task) : [...tasks, task])}
            />
            <b>
              {taskWords[task]} {at >= 0 && tasks.length > 1 && <span className="dim">{at + 1}.</span>}
            </b>
          </label>
        );
      })}
      {error !== undefined && (
        <p className="field-error" data-testid="new-run-tasks-error">
          {error}
        </p>
      )}
    </fieldset>
  );
}

function Choice({
  legend,
  name,
  value,
  options,
  onChange,
}: {
  legend: string;
  name: string;
  value: string;
  options: { value: string; name: string; says?: string }[];
  onChange: (value: string) => void;
}): React.ReactNode {
  return (
    <fieldset className="choice">
      <legend className="field-label">{legend}</legend>
      {options.map((option) => (
        <label key={option.value} className="choice-card" data-testid={`new-run-${name}-${option.value}`}>
          <input
            type="radio"
            name={name}
            value={option.value}
            checked={value === option.value}
            onChange={() => onChange(option.value)}
          />
          <b>{option.name}</b>
          {option.says && <span>{option.says}</span>}
        </label>
      ))}
    </fieldset>
  );
}
