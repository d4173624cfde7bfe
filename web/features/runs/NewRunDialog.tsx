'use client';
import { useRouter } from 'next/navigation';
import { useEffect, useRef, useState, type FormEvent } from 'react';
import { branchName } from '@plumbline/shared/branch-name';
import { canTrain, misfitWords } from '@plumbline/shared/method';
import { RunConfig, backends, type CheckpointId, type RunId } from '@plumbline/shared/run';
import { recipes } from '@plumbline/shared/parameter';
import { api } from '../../lib/api';
import { methodWords, recipeWords, sequenceWords } from '../../lib/words';
import { RuleEditor } from '../rules/RuleEditor';
import { readRules, toRuleForm, type RuleErrors, type RuleForm } from '../rules/rule-form';
import { Choice } from './Choice';
import { Field } from './Field';
import { MethodFields } from './MethodFields';
import { readForm, toForm, type Asked, type RunForm, type RunFormErrors } from './run-form';
import { TaskSequence } from './TaskSequence';
import './new-run.css';

const blank = toForm(RunConfig.parse({ name: 'new run' }));

/** A checkpoint of another run that the new one starts from, and that run's configuration to start the form with. */
export interface StartingPoint {
  runId: RunId;
  checkpointId: CheckpointId;
  step: number;
  config: RunConfig;
}

/** Shows and focuses the first of what is marked as wrong, with what is said of it, wherever the form stands. */
function goToFirstWrong(form: HTMLElement | null): void {
  const wrong = form?.querySelector<HTMLElement>('[aria-invalid="true"]');
  if (!wrong) return;
  wrong.closest('details')?.setAttribute('open', '');
  // A group of radio buttons takes no focus itself.
  const field = wrong.matches('fieldset') ? wrong.querySelector<HTMLElement>('input:checked') : wrong;
  field?.focus({ preventScroll: true });
  // What is said of it stands below and may be beyond the fold.
  const message = document.getElementById(wrong.getAttribute('aria-describedby') ?? '');
  (message ?? wrong).scrollIntoView({ block: 'center' });
  wrong.scrollIntoView({ block: 'nearest' });
}

/** Starts a run of the built-in trainer, from the base model or from a checkpoint, and goes to its page. */
export function NewRunDialog({ from, onClose }: { from?: StartingPoint; onClose: () => void }): React.ReactNode {
  const router = useRouter();
  const dialog = useRef<HTMLDialogElement>(null);
  const [form, setForm] = useState<RunForm>(
    from ? toForm({ ...from.config, name: branchName(from.config.name, from.step) }) : { ...blank, name: '' },
  );
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
  const { method } = form;
  const recipe = form.recipe as RunConfig['recipe'];
  const suggestedName = [
    sequenceWords(form.tasks),
    recipeWords[recipe].name,
    ...(method.kind === 'fine_tuning' ? [] : [methodWords[method.kind].name]),
  ].join(', ');
  const submit = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    const read = readForm({ ...form, name: form.name.trim() || suggestedName });
    const readOfRules = readRules(rules);
    if (!read.ok || !readOfRules.ok) {
      if (!read.ok) setErrors(read.errors);
      if (!readOfRules.ok) setRuleErrors(readOfRules.errors);
      // It is marked when the errors are shown.
      requestAnimationFrame(() => goToFirstWrong(dialog.current));
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
  const evaluationQuestions = field('evaluationQuestions', 'Evaluate', 'questions a task');

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
              // Nothing would be evaluated without questions; how many is asked right beside it.
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
