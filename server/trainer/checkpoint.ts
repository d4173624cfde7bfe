import { createHash } from 'node:crypto';
import { access, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { misfitWords } from '@plumbline/shared/built-in/method-words';
import { TrainingMethod } from '@plumbline/shared/built-in/method';
import { TrainableSelection } from '@plumbline/shared/parameter';
import type { AdamWState } from './optim/adamw.js';
import { assetPath } from './asset.js';
import { baseOf, requireWeights, type Base } from './models/base.js';
import { BuiltInConfig } from './models/built-in/configuration.js';
import { builtInBlueprint } from './models/built-in/modeling.js';
import { assignWeights } from './models/host-weights.js';
import type { Model } from './models/model.js';
import { readSafetensors, writeSafetensors, type HostTensor } from './safetensors.js';
import { Tokenizer } from './tokenizer.js';
import { DamagedFileError } from './weights/damaged-file-error.js';
import { writeWhole } from './whole-file.js';

/** The state beside weights and moments that a run needs to continue as if it had never stopped. */
export const TrainingPosition = z.object({
  step: z.number().int().nonnegative(),
  /** State of the random generator that draws examples: the position in the data. */
  dataRng: z.array(z.number().int().nonnegative()).length(4),
  /** The seed that the generator started from. Checkpoints of early versions lack it. */
  seed: z.number().int().nonnegative().optional(),
  learningRate: z.number().positive(),
  selection: TrainableSelection,
});
export type TrainingPosition = z.infer<typeof TrainingPosition>;

export interface Checkpoint {
  weights: Map<string, HostTensor>;
  optimizer: AdamWState;
  position: TrainingPosition;
  /** The training method of the model: LoRA's adapters need their alpha, which no weight holds. */
  method: TrainingMethod;
}

const Manifest = z.object({
  format: z.literal('plumbline-checkpoint-1'),
  position: TrainingPosition,
  method: TrainingMethod.default({ kind: 'fine_tuning' }),
  optimizerSteps: z.record(z.string(), z.number().int().nonnegative()),
  /** SHA-256 of each of the other files, in hex. */
  digests: z.object({ 'model.safetensors': z.string(), 'optimizer.safetensors': z.string() }),
});

const sha256 = (content: Buffer): string => createHash('sha256').update(content).digest('hex');

async function writeDurably(path: string, content: Buffer | string): Promise<void> {
  const file = await open(path, 'w');
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Syncs a folder, so that the names in it are durable. */
async function syncFolder(folder: string): Promise<void> {
  const opened = await open(folder, 'r');
  await opened.sync().finally(() => opened.close());
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** The place of a checkpoint while another one replaces it. */
const replacedBy = (folder: string): string => `${folder}.replaced`;

/**
 * Moves a finished folder to its place and makes the move durable. An existing folder moves aside first and is removed
 * last, so that a whole checkpoint is on disk at every moment; see `settle`.
 */
async function publish(temporary: string, folder: string): Promise<void> {
  await syncFolder(temporary);
  const replaced = replacedBy(folder);
  if (await exists(folder)) await rename(folder, replaced);
  try {
    await rename(temporary, folder);
  } catch (error) {
    await settle(folder);
    throw error;
  }
  await syncFolder(dirname(folder));
  await rm(replaced, { recursive: true, force: true });
}

/** Completes an interrupted replacement: the folder that was moved aside comes back if no other has its name. */
async function settle(folder: string): Promise<void> {
  const replaced = replacedBy(folder);
  if (!(await exists(replaced))) return;
  if (await exists(folder)) await rm(replaced, { recursive: true, force: true });
  else await rename(replaced, folder);
}

/**
 * Writes a checkpoint folder: model.safetensors, optimizer.safetensors, checkpoint.json. It is written beside its place
 * and moved there whole: a crash or a full disk leaves either the old one or all of the new one.
 */
export async function saveCheckpoint(
  folder: string,
  checkpoint: Checkpoint,
): Promise<{ bytes: number; digest: string }> {
  const temporary = `${folder}.writing`;
  await settle(folder);
  await rm(temporary, { recursive: true, force: true });
  await mkdir(temporary, { recursive: true });
  try {
    const model = writeSafetensors(checkpoint.weights);
    const optimizer = writeSafetensors(checkpoint.optimizer.tensors);
    const manifest: z.infer<typeof Manifest> = {
      format: 'plumbline-checkpoint-1',
      position: checkpoint.position,
      method: checkpoint.method,
      optimizerSteps: checkpoint.optimizer.steps,
      digests: { 'model.safetensors': sha256(model), 'optimizer.safetensors': sha256(optimizer) },
    };
    await writeDurably(join(temporary, 'model.safetensors'), model);
    await writeDurably(join(temporary, 'optimizer.safetensors'), optimizer);
    await writeDurably(join(temporary, 'checkpoint.json'), JSON.stringify(manifest, null, 2));
    await publish(temporary, folder);
    return { bytes: model.length + optimizer.length, digest: sha256(Buffer.from(JSON.stringify(manifest))) };
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
}

/** @throws DamagedFileError when a file is missing, altered or cut short; the message says which one and what to do */
export async function loadCheckpoint(folder: string): Promise<Checkpoint> {
  const place = (await exists(folder)) || !(await exists(replacedBy(folder))) ? folder : replacedBy(folder);
  const manifest = readManifest(join(place, 'checkpoint.json'), await readPart(place, 'checkpoint.json'));
  const tensors = async (name: keyof typeof manifest.digests): Promise<Map<string, HostTensor>> =>
    readVerified(place, name, manifest.digests[name]);
  return {
    weights: await tensors('model.safetensors'),
    optimizer: { steps: manifest.optimizerSteps, tensors: await tensors('optimizer.safetensors') },
    position: manifest.position,
    method: manifest.method,
  };
}

function readManifest(path: string, content: Buffer): z.infer<typeof Manifest> {
  try {
    return Manifest.parse(JSON.parse(content.toString()));
  } catch (error) {
    throw new DamagedFileError(`${path} is damaged: it cannot be read. Choose an earlier checkpoint.`, {
      cause: error,
    });
  }
}

async function readPart(folder: string, name: string): Promise<Buffer> {
  return readFile(join(folder, name)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    throw new DamagedFileError(
      `${join(folder, name)} does not exist. Choose another checkpoint, or start from the base.`,
    );
  });
}

async function readVerified(folder: string, name: string, digest: string): Promise<Map<string, HostTensor>> {
  const content = await readPart(folder, name);
  if (sha256(content) !== digest)
    throw new DamagedFileError(
      `${join(folder, name)} is damaged: its sha256 differs from the recorded one. ` +
        'Choose an earlier checkpoint; for the base model, restore the file from the repository.',
    );
  return readSafetensors(content).tensors;
}

/** The record of pretraining that is stored beside the weights. */
export const TrainingRecord = z.object({
  command: z.string(),
  seed: z.number(),
  steps: z.number(),
  batchSize: z.number(),
  learningRate: z.number(),
  weightDecay: z.number(),
  backend: z.string(),
  wallTimeMinutes: z.number(),
  /** [step, mean loss since the previous entry] */
  lossCurve: z.array(z.tuple([z.number(), z.number()])),
  questionsPerTask: z.number(),
  /** Percent, on the evaluation split. */
  accuracy: z.record(z.string(), z.number()),
  meanAccuracy: z.number(),
  modelDigest: z.string(),
});
export type TrainingRecord = z.infer<typeof TrainingRecord>;

/** The built-in model. */
export interface BaseModel extends Base {
  config: BuiltInConfig;
  weights: Map<string, HostTensor>;
  tokenizer: Tokenizer;
  record: TrainingRecord;
}

export type SavedModel = Pick<BaseModel, 'config' | 'weights' | 'tokenizer'>;

/** Writes a model in the layout of model hubs: model.safetensors, config.json, tokenizer.json. @returns its digest */
export async function saveModel(folder: string, model: SavedModel): Promise<string> {
  const weights = writeSafetensors(model.weights);
  await writeWhole(join(folder, 'model.safetensors'), weights);
  await writeWhole(join(folder, 'config.json'), json(model.config));
  await writeWhole(join(folder, 'tokenizer.json'), json(model.tokenizer));
  return sha256(weights);
}

/** Writes a base model: the model and training.json, the record of its training. */
export async function saveBaseModel(
  folder: string,
  { record, ...model }: SavedModel & { record: Omit<TrainingRecord, 'modelDigest'> },
): Promise<void> {
  const modelDigest = await saveModel(folder, model);
  await writeDurably(join(folder, 'training.json'), json({ ...record, modelDigest }));
}

const json = (value: unknown): string => JSON.stringify(value, null, 1) + '\n';

/**
 * Loads the base model that the project ships, or one from another folder.
 * @throws DamagedFileError when a file is missing or its digest, names or shapes do not fit
 */
export async function loadBaseModel(folder = assetPath('base')): Promise<BaseModel> {
  const json = async (name: string): Promise<unknown> => JSON.parse((await readPart(folder, name)).toString());
  const config = BuiltInConfig.parse(await json('config.json'));
  const record = TrainingRecord.parse(await json('training.json'));
  const weights = await readVerified(folder, 'model.safetensors', record.modelDigest);
  const tokenizer = await Tokenizer.fromFile(join(folder, 'tokenizer.json'));
  if (tokenizer.size !== config.vocabSize)
    throw new DamagedFileError(
      `The tokenizer in ${folder} has ${tokenizer.size} words, the model ${config.vocabSize}.`,
    );
  return { ...asDamage(() => baseOf(builtInBlueprint(config), weights)), config, weights, tokenizer, record };
}

/**
 * Loads a checkpoint's weights into the model of a run.
 * @throws DamagedFileError when the checkpoint is of another training method or other sizes
 */
export function adoptWeights(model: Model, method: TrainingMethod, checkpoint: Checkpoint): void {
  const misfit = misfitWords(checkpoint.method, method);
  if (misfit) throw new DamagedFileError(misfit);
  asDamage(() => requireWeights(model.parameters, checkpoint.weights));
  assignWeights(model.parameters, checkpoint.weights);
}

function asDamage<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new DamagedFileError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}
