'use client';
import { useRouter } from 'next/navigation';
import { useEffect, useMemo, useRef, useState, type FormEvent } from 'react';
import { branchName } from '@plumbline/shared/branch-name';
import { canTrain, recipes } from '@plumbline/shared/built-in/recipe';
import { type CheckpointId, type RunId } from '@plumbline/shared/run';
import { builtInDeclaration, builtInSeries } from '@plumbline/shared/built-in/series';
import { misfitWords } from '@plumbline/shared/built-in/method-words';
import { TrainingMethod } from '@plumbline/shared/built-in/method';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { backends } from '@plumbline/shared/built-in/run-settings';
import { targetLabels } from '@plumbline/shared/built-in/tasks';
import { formatStep } from '../../charts/format';
import { api } from '../../lib/api';
import { focusFirstProblem } from '../../lib/focus-first-problem';
import { methodWords, recipeWords } from '../../lib/words';
import { RuleEditor } from '../rules/RuleEditor';
import { unitsOf } from '@plumbline/shared/known-series';
import { readRules, toRuleForm, type RuleErrors, type RuleForm } from '../rules/rule-form';
import { Choice } from './Choice';
import { Field } from './Field';
import { MethodFields } from './MethodFields';
import { readForm, toForm, type Asked, type RunForm, type RunFormErrors } from './run-form';
import { TaskSequence } from './TaskSequence';

const blank = toForm(RunConfig.parse({ name: 'new run' }));

/** The checkpoint of another run to start from, with that run's configuration for the form. */
export interface StartingPoint {
  runId: RunId;
  checkpointId: CheckpointId;
  step: number;
  config: RunConfig;
}

const wordsOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** The recipes that a rule of a new run may train. */
const builtInRecipes = recipes.map((name) => ({ name, label: recipeWords[name].name }));

/** Starts a run of the built-in trainer, from the base model or from a checkpoint, and opens its page. */
export function NewRunDialog({ from, onClose }: { from?: StartingPoint; onClose: () => void }): React.ReactNode {
  const router = useRouter();
  const dialog = useRef<HTMLDialogElement>(null);
  const [form, setForm] = useState<RunForm>(
    from ? toForm({ ...from.config, name: branchName(from.config.name, from.step) }) : { ...blank, name: '' },
  );
  const [errors, setErrors] = useState<RunFormErrors>({});
  /** Null until the rules of the run that it starts from are known; they may have changed during that run. */
  const [rules, setRules] = useState<RuleForm[] | null>(from ? null : []);
  const [hadRules, setHadRules] = useState(false);
  const [rulesProblem, setRulesProblem] = useState('');
  const [rulesAsked, setRulesAsked] = useState(1);
  const [ruleErrors, setRuleErrors] = useState<RuleErrors[]>([]);
  const [starting, setStarting] = useState(false);
  const [refusal, setRefusal] = useState('');

  useEffect(() => dialog.current?.showModal(), []);
  const fromRunId = from?.runId;
  useEffect(() => {
    if (fromRunId) return;
    let gone = false;
    api.catalog().then(
      ({ defaults }) => !gone && setForm((now) => ({ ...toForm(defaults), name: now.name })),
      (error: unknown) => !gone && setRefusal(wordsOf(error)),
    );
    return () => {
      gone = true;
    };
  }, [fromRunId]);
  useEffect(() => {
    if (!fromRunId) return;
    let gone = false;
    api.rules(fromRunId).then(
      (states) => {
        if (gone) return;
        setRules(states.map(({ rule }) => toRuleForm(rule)));
        setHadRules(states.length > 0);
      },
      (error: unknown) => !gone && setRulesProblem(wordsOf(error)),
    );
    return () => {
      gone = true;
    };
  }, [fromRunId, rulesAsked]);

  const set =
    <K extends keyof RunForm>(key: K) =>
    (value: RunForm[K]) => {
      setForm((now) => ({ ...now, [key]: value }));
      setErrors(({ [key]: _, ...others }) => others);
      // The message belongs to an earlier state of the form.
      setRefusal('');
    };
  const { method } = form;
  const series = useMemo(() => {
    // A half-typed value may be impossible, such as a billion experts.
    const read = TrainingMethod.safeParse(method);
    const names = builtInSeries({ tasks: form.tasks, method: read.success ? read.data : { kind: 'fine_tuning' } });
    return { names, areAll: true, units: unitsOf(names.map((name) => builtInDeclaration(name))) };
  }, [form.tasks, method]);
  const recipe = form.recipe as RunConfig['recipe'];
  const suggestedName = [
    form.tasks.map((task) => targetLabels[task]).join(' → '),
    recipeWords[recipe].name,
    ...(method.kind === 'fine_tuning' ? [] : [methodWords[method.kind].name]),
  ]
    .filter(Boolean)
    .join(', ');
  const submit = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    if (!rules) return;
    const read = readForm({ ...form, name: form.name.trim() || suggestedName });
    const readOfRules = readRules(rules, series);
    if (!read.ok || !readOfRules.ok) {
      if (!read.ok) setErrors(read.errors);
      if (!readOfRules.ok) setRuleErrors(readOfRules.errors);
      focusFirstProblem(dialog.current);
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
      setRefusal(wordsOf(error));
      setStarting(false);
    }
  };
  const field = (key: Asked, label: string, hint?: string): React.ReactNode => (
    <Field name={key} label={label} hint={hint} value={form[key]} error={errors[key]} onChange={set(key)} />
  );
  const evaluationQuestions = field('evaluationQuestions', 'Evaluate', 'questions a task, 0: none');

  return (
    <dialog ref={dialog} className="sheet" aria-labelledby="new-run-title" onClose={onClose}>
      <form onSubmit={(event) => void submit(event)} noValidate data-testid="new-run-form">
        <header className="sheet-head">
          <h2 id="new-run-title">{from ? `New run from step ${formatStep(from.step)}` : 'New run'}</h2>
          <p>
            {from
              ? `Continues from ${from.checkpointId} with the settings below. Steps count from the base model.`
              : 'Fine-tunes the base model on new skills, one after another, and measures what it forgets.'}
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
            options={recipes.map((each) => ({
              value: each,
              ...recipeWords[each],
              off: canTrain(method, each) ? '' : `Hits nothing that ${methodWords[method.kind].name} trains.`,
            }))}
            error={errors.recipe}
          />
          <MethodFields
            method={method}
            offWords={(each) => (from ? misfitWords(from.config.method, each) : '')}
            onChange={(each) => {
              set('method')(each);
              if (canTrain(each, recipe)) setErrors(({ recipe: _, ...others }) => others);
              // Nothing is evaluated without questions; their number is the field beside it.
              if (each.kind === 'wise_ft' && form.evaluationQuestions === '0') set('evaluationQuestions')('200');
            }}
          >
            {method.kind === 'wise_ft' && evaluationQuestions}
          </MethodFields>
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
              {method.kind !== 'wise_ft' && evaluationQuestions}
              {field('evaluationSeed', 'Evaluation seed')}
            </div>
            <p className="field-note">
              Of the checkpoints the first is kept, the 5 newest, the end of each task, the state in front of a change
              of what is trained or of the learning rate, and what is saved by hand; the others are removed.
            </p>
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
          <details open={hadRules || rulesProblem !== ''} data-testid="new-run-rules">
            <summary>Guard rules{rules && rules.length > 0 && ` (${rules.length})`}</summary>
            {rules && (
              <RuleEditor
                rules={rules}
                errors={ruleErrors}
                series={series}
                recipes={builtInRecipes}
                onChange={(changed) => {
                  setRules(changed);
                  setRuleErrors([]);
                  setRefusal('');
                }}
              />
            )}
            {rulesProblem && (
              <div className="rules-unread">
                <p className="field-error">
                  The rules that {fromRunId} has now could not be read. {rulesProblem}
                </p>
                <button
                  type="button"
                  className="button small"
                  onClick={() => {
                    setRulesProblem('');
                    setRulesAsked((times) => times + 1);
                  }}
                  data-testid="new-run-rules-again"
                >
                  Try again
                </button>
              </div>
            )}
          </details>
        </div>
        <footer className="sheet-foot">
          <p className="push field-error" role="alert">
            {refusal || (rulesProblem && 'The guard rules could not be read: see “Guard rules”.')}
          </p>
          <button type="button" className="button" onClick={() => dialog.current?.close()}>
            Cancel
          </button>
          <button type="submit" className="button primary" disabled={starting || !rules} data-testid="new-run-start">
            {starting ? 'Starting …' : 'Start run'}
          </button>
        </footer>
      </form>
    </dialog>
  );
}
