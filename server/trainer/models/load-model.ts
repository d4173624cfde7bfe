import { openBase } from './base.js';
import { buildModel, type BuildModelOptions } from './build-model.js';
import type { Model } from './model.js';

/** Loads a model from a folder in the Hugging Face layout onto the device. @throws the errors of `openBase` */
export async function loadModel(folder: string, options: BuildModelOptions = {}): Promise<Model> {
  const base = await openBase(folder);
  try {
    return await buildModel(base, options);
  } finally {
    await base.close();
  }
}
