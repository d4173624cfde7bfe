import { existsSync } from 'node:fs';
import { additionWords } from '@plumbline/shared/built-in/method-words';
import { adoptWeights, loadCheckpoint, saveModel, type BaseModel } from '../checkpoint.js';
import type { HostTensor } from '../safetensors.js';
import { mergedWeights } from './lora.js';
import { prepareMethod } from './prepare-method.js';

/** The checkpoint cannot be merged; the message says why. */
export class MergeError extends Error {
  override name = 'MergeError';
}

/**
 * Writes the model of a checkpoint as a plain model of the base's shape, with LoRA's adapters merged in: a folder with
 * model.safetensors, config.json and tokenizer.json.
 * @param base the model that the checkpoint's run started from
 * @returns a description of what was merged
 * @throws MergeError for a mixture of experts, which has no plain equivalent, or when the folder exists
 * @throws DamagedFileError when the checkpoint cannot be read or its sizes differ from the base's
 */
export async function mergeCheckpoint(from: string, to: string, base: Omit<BaseModel, 'record'>): Promise<string> {
  if (existsSync(to)) throw new MergeError(`${to} exists already; name a new folder.`);
  const checkpoint = await loadCheckpoint(from);
  const { method, position } = checkpoint;
  if (method.kind === 'mixture_of_experts')
    throw new MergeError(
      `${from} is a mixture of experts: its router weighs the experts at each position, so no plain model is equivalent.`,
    );
  const prepared = await prepareMethod(method, base, 0);
  adoptWeights(prepared.model, method, checkpoint);
  const weights = new Map<string, HostTensor>();
  for await (const [name, data] of mergedWeights(prepared.model))
    weights.set(name, { shape: base.weights.get(name)!.shape, data });
  await saveModel(to, { ...base, weights });
  prepared.dispose();
  return `step ${position.step}${additionWords(method) && `, ${additionWords(method)} merged in`}`;
}
