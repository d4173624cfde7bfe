import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { Command, CommandAction } from '@plumbline/shared/command';
import * as allLimits from '@plumbline/shared/limits';
import { messageNames, messageSchema, type MessageName } from '../support/protocol-schemas.js';
import { Attach, errorCodes, hubCapabilities } from '@plumbline/shared/socket';
import { TrainerEvent } from '@plumbline/shared/trainer-event';
import { unansweredLimits } from '../../server/access/limits.js';
import { readEvents } from '../../server/run/read-events.js';
import { control, runStarted, step } from './played-trainer.js';

const document = readFileSync('PROTOCOL.md', 'utf8');
const ajv = new Ajv2020({ strict: false, validateFormats: false });
const validators = new Map(
  messageNames.map((name) => [
    name,
    ajv.compile(JSON.parse(readFileSync(`shared/schemas/${name}.json`, 'utf8')) as object),
  ]),
);
const isValid = (name: MessageName, message: unknown): boolean => validators.get(name)!(message);

type Json = Record<string, unknown>;
/** Every JSON example: a block contains one value, or one per line. */
const examples = [...document.matchAll(/```json\n([\s\S]*?)```/g)].flatMap(([, text]): Json[] => {
  try {
    return [JSON.parse(text!) as Json];
  } catch {
    return text!
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Json);
  }
});
const events = examples.filter((example) => 'seq' in example);

describe('PROTOCOL.md', () => {
  it('has examples of attach, commands and events that zod and the JSON Schemas accept', () => {
    expect(events.length).toBeGreaterThan(6);
    for (const event of events) {
      expect(readEvents({ events: [event] })).toMatchObject({ problems: [] });
      expect(isValid('events', { events: [event] }), JSON.stringify(event)).toBe(true);
    }
    const attach = examples.find((example) => 'run' in example)!;
    // A full secret is too long for the document.
    const whole = { ...attach, secret: 'x'.repeat(32) };
    expect(Attach.safeParse(whole).success && isValid('attach', whole)).toBe(true);
    const command = { ...examples.find((example) => 'action' in example)!, commandId: 'command-1' };
    expect(Command.safeParse(command).success && isValid('command', command)).toBe(true);
    expect(isValid('auth', { token: 't', protocol: 2 }) && isValid('busy', { forMs: 300_000, why: 'a step' })).toBe(
      true,
    );
  });

  it('and the JSON Schemas refuse the same as zod', () => {
    const wrong: Json[] = [
      step(2, { seq: 0 }),
      step(2, { wallTimeMs: 1.7e18 }),
      step(2, { values: 'many' }),
      step(2, { stage: -1 }),
      control(2, 'run_failed'),
      control(2, 'sang_a_song'),
      control(2, 'command_applied', { commandId: 'x', before: {}, after: {} }),
      runStarted(1, { trainable: 'all' }),
      control(2, 'token_shift', { prompts: '', tokens: [] }),
      control(2, 'examples', { task: 'a', examples: 'many' }),
    ];
    for (const event of wrong) {
      expect(() => readEvents({ events: [event] }), JSON.stringify(event)).toThrow();
      expect(isValid('events', { events: [event] }), JSON.stringify(event)).toBe(false);
    }
    expect(isValid('events', { events: [] })).toBe(false);
  });

  it('names every event, command, refusal and capability, and no other', () => {
    const types = TrainerEvent.options.map(({ shape }) => shape.type.value);
    for (const type of types)
      expect(document, type).toMatch(new RegExp(`(^### .*\\b${type}\\b)|(^\\| \`${type}\` \\|)`, 'm'));
    const kinds = CommandAction.options.map(({ shape }) => shape.kind.value);
    for (const kind of kinds) expect(document, kind).toContain(`\n| \`${kind}\` |`);
    const [, refusals] = /## Refusals\n([\s\S]*?)\n## /.exec(document)!;
    const told = [...refusals!.matchAll(/^\| (`.*?`) \|/gm)].flatMap(([, cell]) =>
      [...cell!.matchAll(/`(\w+)`/g)].map(([, code]) => code),
    );
    expect(told.filter((code) => code !== 'retry' && code !== 'code').sort()).toEqual([...errorCodes].sort());
    const [, capabilities] = /<!-- capabilities -->(.*?)<!-- \/capabilities -->/.exec(document)!;
    expect([...capabilities!.matchAll(/`(\w+)`/g)].map(([, name]) => name)).toEqual([...hubCapabilities]);
  });

  it('has every limit of shared/limits.ts', () => {
    const read = new Set<string>();
    const limits = new Proxy(allLimits, {
      get(target, name: keyof typeof allLimits) {
        read.add(name);
        return target[name];
      },
    });
    const number = (value: number): string => value.toLocaleString('en-US');
    const numbers = (...values: number[]): string =>
      values.map(number).join(values.some((value) => value > 999) ? '; ' : ', ');
    const rows: [string, string][] = [
      ['bytes of one message', number(limits.maxMessageBytes)],
      ['events in one batch', number(limits.maxEventsPerBatch)],
      ['messages without an answer, bytes of them', numbers(unansweredLimits.messages, unansweredLimits.characters)],
      ['`seq`', number(limits.maxSeq)],
      ['`step`, `stage`, steps of a run', number(limits.maxStep)],
      ['`wallTimeMs`', `${number(limits.minWallTimeMs)} to ${number(limits.maxWallTimeMs)} (the years 2000 to 2200)`],
      ['problems in one acknowledgement', number(limits.maxProblems)],
      ['`busy.forMs`', number(limits.maxBusyMs)],
      [
        'characters of `token`, of `secret`',
        `${limits.maxTokenTextLength}, ${limits.minSecretLength} to ${limits.maxSecretLength}`,
      ],
      ['entries of `capabilities`, of `commands` in `attach`', number(limits.maxListedWords)],
      [
        'characters of the name and label of a task and a recipe, of `block`, `projection`, `backend`, `version`, a capability, a kind of command',
        number(limits.maxWordLength),
      ],
      [
        'characters of the name of a run and a model, of `device`, `host`, `digest`, `busy.why`',
        number(limits.maxLineLength),
      ],
      ['characters of `notes`', number(limits.maxNotesLength)],
      ['tags, characters of one', numbers(limits.maxTags, limits.maxTagLength)],
      ['`settings`: characters as JSON, levels', numbers(limits.maxSettingsLength, limits.maxSettingsDepth)],
      ['tasks, stages', numbers(limits.maxTasks, limits.maxStages)],
      ['parameters, and groups, of a model; recipes', numbers(limits.maxParameters, limits.maxRecipes)],
      [
        'characters of the name of a parameter, of a group',
        numbers(limits.maxParameterNameLength, limits.maxGroupNameLength),
      ],
      ['dimensions in `shape`', number(limits.maxDimensions)],
      ['`layer`, `expert`', numbers(limits.maxLayer, limits.maxExpert)],
      ['characters of a selection’s `pattern`, of a name in its `groups`', number(limits.maxPatternLength)],
      ['values in one event, entries of `baseline`', number(limits.maxMetricsPerEvent)],
      ['series of a run; their numbers are below', number(limits.maxSeries)],
      [
        'characters of a series’ name, label, unit',
        numbers(limits.maxMetricNameLength, limits.maxLabelLength, limits.maxUnitLength),
      ],
      ['characters of a `reason`', number(limits.maxReasonLength)],
      [
        '`before`, `after`: entries, characters of a name, of a text',
        numbers(limits.maxChanges, limits.maxChangeNameLength, limits.maxChangeTextLength),
      ],
      ['`learningRate`', number(limits.maxLearningRate)],
      ['`right`: tasks, questions of one task', numbers(limits.maxEvaluatedTasks, limits.maxQuestions)],
      ['tokens of a `token_shift`, characters of one', numbers(limits.maxShiftedTokens, limits.maxTokenLength)],
      ['a token’s `id`; `base`, `now`', numbers(limits.maxTokenId, limits.maxProbability)],
      [
        '`examples` of an event, bytes of them all as JSON in UTF-8',
        numbers(limits.maxExamples, limits.maxExamplesBytes),
      ],
      ['bytes of a picture, before it is base64', number(limits.maxPictureBytes)],
      [
        'characters of an `exampleId`; of a prompt, an answer',
        numbers(limits.maxExampleIdLength, limits.maxAnswerLength),
      ],
      [
        'rules, actions of one, characters of its name, of a webhook’s address',
        numbers(limits.maxRules, limits.maxRuleActions, limits.maxRuleNameLength, limits.maxWebhookLength),
      ],
      ['a rule’s `window`, `consecutive`', number(limits.maxRuleValues)],
      [
        '`trainer.energy`: sentences in a list, characters of one',
        numbers(limits.maxBasisSentences, limits.maxBasisLength),
      ],
      [
        '`gridIntensity`, `powerUsageEffectiveness`',
        numbers(limits.maxGridIntensity, limits.maxPowerUsageEffectiveness),
      ],
    ];
    const table = ['| what | at most |', '|---|---|', ...rows.map(([what, most]) => `| ${what} | ${most} |`)].join(
      '\n',
    );
    expect(/<!-- limits -->\n([\s\S]*?)\n<!-- \/limits -->/.exec(document)?.[1]).toBe(table);
    expect([...read].sort()).toEqual(Object.keys(allLimits).sort());
  });

  it('and the JSON Schemas have no limit that is not in shared/limits.ts', () => {
    // The length of a picture in base64, and the bound of any JSON integer.
    const others = [Math.ceil(allLimits.maxPictureBytes / 3) * 4, allLimits.maxSeries - 1, Number.MAX_SAFE_INTEGER, 1];
    const known = new Set<unknown>([...Object.values(allLimits), ...others]);
    const unknown: string[] = [];
    const look = (value: unknown, path: string): void => {
      if (typeof value !== 'object' || value === null) return;
      for (const [name, part] of Object.entries(value)) {
        if (/^(maximum|exclusiveMaximum|maxLength|maxItems|maxProperties)$/.test(name) && !known.has(part))
          unknown.push(`${path}.${name} ${String(part)}`);
        look(part, `${path}.${name}`);
      }
    };
    for (const name of messageNames) look(messageSchema(name), name);
    expect(unknown).toEqual([]);
  });
});
